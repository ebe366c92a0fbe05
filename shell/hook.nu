# keyagent for Nushell: the keys of a project come when you enter it, and go when you leave.
# Once, and again after an update:                               (Nushell 0.98 or newer)
#   mkdir $nu.user-autoload-dirs.0
#   keyagent hook nu | save -f ($nu.user-autoload-dirs.0 | path join keyagent.nu)
# A Nushell that has no such directory yet sources it in config.nu, from wherever it is.
#
# At a prompt where nothing changed it forks nothing and starts nothing: it looks at the
# manifest, and for a mark that is there until the agent takes it away. It prints nothing on
# stdout, never asks, and evaluates nothing: what keyagent prints for it is data.
# KEYAGENT_PROFILE, if you set it, names the profile.

module __keyagent {
  # Our own program, wherever PATH leads by now.
  const client = "keyagent"
  # How many directories upward a manifest is looked for.
  const places_max = 128
  # The largest manifest, and a byte.
  const text_max = 65537
  # A hook as text is looked up when it runs: the newest definition counts.
  const code = "__keyagent prompt"
  # What Nushell itself acts on.
  const reserved = [config ENV_CONVERSIONS NU_LIB_DIRS NU_PLUGIN_DIRS __keyagent]
  # What is known at first. It lives in one variable, which is no text: no program gets it.
  const nothing_yet = {
    pwd: null # where we stood when the places were listed
    places: [] # where a manifest may be, the nearest first
    mark: "" # a file that is there as long as the agent knows nothing newer
    seen: null # all that was looked at when keyagent was asked last
    record: "" # KEYAGENT_LOADED, as it was written here
    entered: null # the manifest whose overrides were named
    before: {} # how each variable was that is ours now
  }

  # When this is sourced: the first keys are there before the first prompt. After each cd
  # comes last of all, so that a direnv that hooks there comes first.
  export def --env start []: nothing -> nothing {
    if not ($env.__keyagent? | describe | str starts-with record) {
      $env.__keyagent = $nothing_yet
    }
    $env.__keyagent.seen = null
    let hooks = $env.config?.hooks? | default {}
    let prompts = [] | append ($hooks.pre_prompt? | default [])
    if $code not-in $prompts {
      $env.config.hooks.pre_prompt = ($prompts | append $code)
    }
    let changes = [] | append ($hooks.env_change?.PWD? | default [])
    if $code not-in $changes {
      let changes = $changes | append $code
      $env.config.hooks.env_change = ($hooks.env_change? | default {} | upsert PWD $changes)
    }
    prompt
  }

  # Before each prompt, and after each cd. All of the environment is changed here: what is
  # hidden by a command inside a command can be there again when both are done.
  export def --env prompt []: nothing -> nothing {
    let is = $env.__keyagent
    let moved = $is.pwd != $env.PWD
    let places = if $moved { list-places } else { $is.places }
    let manifest = find-nearest $places
    let now = {manifest: $manifest, profile: $env.KEYAGENT_PROFILE?, agent: $env.KEYAGENT_SOCK?, text: (read $manifest $text_max)}
    let is_old = $is.mark != "" and (tell-kind $is.mark) == null
    let is_same = $is.seen == ($now | merge (see))
    if $is_old or not $is_same {
      # Whoever has stopped the agent did not mean the next prompt to start it.
      let next = reload $is $manifest (if $is_same { ["--if-running"] } else { [] })
      for var in $next.unset {
        while $var in $env { hide-env $var }
      }
      load-env $next.set
      $env.__keyagent = ($is | merge $next.is | merge {seen: ($now | merge (see))})
    }
    if $moved {
      $env.__keyagent.places = $places
      $env.__keyagent.pwd = $env.PWD
    }
  }

  def see []: nothing -> record {
    {loaded: $env.KEYAGENT_LOADED?, direnv: $env.DIRENV_KEYAGENT?}
  }

  # Upward from where we stand, never above a directory of another owner; then the user's own.
  # The agent is asked by the kernel's path, so links on the way are left out of it.
  def list-places []: nothing -> list<string> {
    # A directory that is gone is an error to Nushell.
    mut dirs = [(try { $env.PWD | path expand } catch { $env.PWD })]
    while ($dirs | length) < $places_max and ($dirs | last) != "/" {
      $dirs = ($dirs | append ($dirs | last | path dirname))
    }
    let upward = $dirs
    # Where that cannot be told, it is left to the client.
    let owners = try { ls --all --long --directory /proc/self/ ...$upward | get user } catch { [] }
    let ours = if ($owners | length) == ($upward | length) + 1 {
      let us = $owners | first
      $upward | zip ($owners | skip 1) | take while {|pair| $pair.1 == $us } | each {|pair| $pair.0 }
    } else {
      $upward
    }
    let config = $env.XDG_CONFIG_HOME? | default ""
    let config = if ($config | str starts-with /) { $config } else { $"($env.HOME? | default "")/.config" }
    let own = $config | path join keyagent keyagent.toml
    $ours | each {|dir| $dir | path join keyagent.toml } | append $own
  }

  def find-nearest [places: list<string>]: nothing -> any {
    for place in $places {
      if (tell-kind $place) != null {
        return $place
      }
    }
  }

  # Of the path itself, not of what a link leads to, as the client has it.
  def tell-kind [path: string]: nothing -> any {
    try { $path | path type } catch { null }
  }

  # What is no regular file is never opened.
  def read [path: any, bytes_max: int]: nothing -> binary {
    if $path in [null ""] or (tell-kind $path) != file {
      return 0x[]
    }
    try {
      let bytes = open --raw $path | first $bytes_max
      $bytes
    } catch { 0x[] }
  }

  # Asks. What is to be unset, what is then to be set, and what is known afterwards.
  def reload [is: record, manifest: any, again: list<string>]: nothing -> record {
    let ours = adopt $is
    if ($env.DIRENV_KEYAGENT? | is-not-empty) {
      return (give-way $ours)
    }
    let answer = if $manifest == null { {} } else { ask $again }
    let entered = $manifest != null and $is.entered == $manifest
    # What was loaded is taken back, whatever comes of the keys.
    let back = take-back $ours ($ours | columns)
    let keys = $answer.env? | default {} | transpose var value | where {|key| is-free $key.var }
    mut set = $back.set
    mut before = {}
    for key in $keys {
      let was = if $key.var in $ours { $ours | get $key.var } else { look $key.var }
      if $was.had {
        if not $entered and $was.value != $key.value {
          print --stderr $"keyagent: `($key.var)` was set already; it has the vault's value now"
        }
        # A shell inside this one has only the environment to know it by.
        $set = ($set | upsert $"KEYAGENT_OLD_($key.var)" $was.value)
      }
      $set = ($set | upsert $key.var $key.value)
      $before = ($before | upsert $key.var $was)
    }
    let record = $answer.record? | default ""
    if $record != "" {
      $set = ($set | upsert KEYAGENT_LOADED $record)
    }
    let is = {mark: ($answer.mark? | default ""), record: $record, entered: $manifest, before: $before}
    {unset: $back.unset, set: $set, is: $is}
  }

  # An error of Nushell's own would show what it was reading.
  def ask [again: list<string>]: nothing -> record {
    let profiles = [($env.KEYAGENT_PROFILE? | default "")] | where {|name| $name != "" }
    let options = $profiles | each {|name| $"--profile=($name)" }
    let said = try {
      null | ^$client export --format nu --hook ...$again ...$options | complete
    } catch {
      print --stderr $"keyagent: cannot run `($client)`"
      return {}
    }
    print --stderr --no-newline $said.stderr
    try { $said.stdout | from json | default {} } catch { {} }
  }

  def is-free [var: string]: nothing -> bool {
    if $var in $reserved {
      print --stderr $"keyagent: cannot set `($var)`: it is Nushell's own"
    }
    $var not-in $reserved
  }

  # How a variable is now, of whatever type; null, as direnv's usual hook leaves it, is unset.
  def look [var: string]: nothing -> record {
    let value = if $var in $env { $env | get $var }
    {had: ($value != null), value: $value}
  }

  # Variables as they were before, unset or the user's own; and no record.
  def take-back [ours: record, vars: list<string>]: nothing -> record {
    let old = $vars | each {|var| $"KEYAGENT_OLD_($var)" }
    let had = $ours | transpose var was | where {|one| $one.var in $vars and $one.was.had }
    let set = $had | reduce --fold {} {|one, set| $set | upsert $one.var $one.was.value }
    {unset: [KEYAGENT_LOADED ...$vars ...$old], set: $set}
  }

  # What is ours, and what a shell around this one has loaded: that is not the user's own either.
  def adopt [is: record]: nothing -> record {
    let loaded = $env.KEYAGENT_LOADED? | default ""
    if $loaded in ["" $is.record] {
      return $is.before
    }
    list-vars $loaded | where {|var| $var not-in $is.before }
    | reduce --fold $is.before {|var, ours| $ours | upsert $var (look $"KEYAGENT_OLD_($var)") }
  }

  # direnv has loaded the project's keys, and takes them out again: ours go, less those that
  # are its own now.
  def give-way [ours: record]: nothing -> record {
    let theirs = list-vars $env.DIRENV_KEYAGENT
    let gone = $ours | columns | where {|var| $var not-in $theirs }
    take-back $ours $gone | merge {is: {mark: "", record: "", before: ($ours | reject ...$gone)}}
  }

  # The variables that a record names: PROFILE VAR=SECRET@VERSION,… DIRECTORY.
  def list-vars [record: string]: nothing -> list<string> {
    $record | split row " " | get 1? | default "" | split row ","
    | each {|binding| $binding | split row "=" | first }
    | where {|var| $var =~ '^[A-Za-z_][A-Za-z0-9_]*$' }
  }
}

use __keyagent
__keyagent start
