# keyagent for fish: the keys of a project come when you enter it, and go when you leave.
# In ~/.config/fish/config.fish:  keyagent hook fish | source    (fish 3.4 or newer)
#
# At a prompt where nothing changed it forks nothing and starts nothing: it looks at the
# manifest, and for a mark that is there until the agent takes it away. It prints nothing on
# stdout, never asks, and evaluates only what keyagent prints. KEYAGENT_PROFILE, if you set it,
# names the profile.

# Our own program, wherever PATH leads by now.
set -g __keyagent_client keyagent
# How many directories upward a manifest is looked for.
set -g __keyagent_places_max 128
# The largest manifest, and a byte.
set -g __keyagent_text_max 65537
# The longest record that is taken for one, in characters.
set -g __keyagent_record_max 81920

set -g __keyagent_pwd # where we stood when the places were listed
set -g __keyagent_places # where a manifest may be, the nearest first
set -g __keyagent_still # what `test` has to find, as long as the nearest is the same
set -g __keyagent_manifest # the nearest manifest
set -g __keyagent_mark # a file that is there as long as the agent knows nothing newer
set -g __keyagent_seen # all that was looked at when keyagent was asked last; empty if the mark went
set -g __keyagent_noted # the same, though the mark went
set -g __keyagent_entered # the manifest whose overrides were named
# Kept if this is sourced again: the variables that are ours now (and how each was before,
# in __keyagent_before_VAR), and KEYAGENT_LOADED as it was written here.
set -q __keyagent_ours; or set -g __keyagent_ours
set -q __keyagent_record; or set -g __keyagent_record

function __keyagent_prompt --on-variable PWD --description 'keyagent: before each prompt, and after each cd'
    test "$PWD" = "$__keyagent_pwd" $__keyagent_still; or __keyagent_find
    set -l text
    if test -f "$__keyagent_manifest" -a -r "$__keyagent_manifest"
        # Local, so that the user's own limit is back when this block ends.
        set -l fish_read_limit $__keyagent_text_max
        read -z text <$__keyagent_manifest
    end
    set -l now "$__keyagent_manifest:$KEYAGENT_PROFILE:$KEYAGENT_LOADED:$DIRENV_KEYAGENT:$KEYAGENT_SOCK:$text"
    if test "$__keyagent_seen" != "$now"
        # Whoever has stopped the agent did not mean the next prompt to start it.
        set -l again
        test "$__keyagent_noted" = "$now"; and set again --if-running
        __keyagent_reload "$text" $again
    end
end

# The nearest manifest, and the test that says that it still is, and that the mark is there.
function __keyagent_find
    test -z "$__keyagent_mark"; or test -e "$__keyagent_mark"; or set -g __keyagent_seen
    test "$PWD" = "$__keyagent_pwd"; or __keyagent_list_places
    set -g __keyagent_manifest
    set -g __keyagent_still
    for place in $__keyagent_places
        if test -e $place
            set -g __keyagent_manifest $place
            set -a __keyagent_still -a -e $place
            break
        end
        set -a __keyagent_still -a ! -e $place
    end
    test -z "$__keyagent_mark"; or set -a __keyagent_still -a -e $__keyagent_mark
end

# Upward from where we stand, never above a directory of another owner; then the user's own.
# The agent is asked by the kernel's path, so links on the way are left out of it.
function __keyagent_list_places
    set -g __keyagent_pwd $PWD
    set -g __keyagent_places
    # Cut by named groups: a path may end with newlines, and a substitution takes them away.
    set -l dir
    pwd -P 2>/dev/null | read -z dir
    string match -rq '(?s)^(?<dir>.*)\n$' -- "$dir"
    while string match -q '/*' -- $dir; and test -O $dir; and not set -q __keyagent_places[$__keyagent_places_max]
        if test $dir = /
            set -a __keyagent_places /keyagent.toml
            break
        end
        set -a __keyagent_places $dir/keyagent.toml
        string match -rq '(?s)^(?<dir>.*)/' -- $dir
        test -n "$dir"; or set dir /
    end
    set dir $XDG_CONFIG_HOME
    string match -q '/*' -- $dir; or set dir $HOME/.config
    set -a __keyagent_places $dir/keyagent/keyagent.toml
end

# Nothing of what follows is traced.
function __keyagent_reload # TEXT [--if-running]
    set -l trace $fish_trace
    set -g fish_trace
    __keyagent_load $argv
    __keyagent_note $argv[1]
    set -g fish_trace $trace
    set -q trace[1]; or set -eg fish_trace
end

# Asks, and has the variables be what the answer says.
function __keyagent_load # TEXT [--if-running]
    set -g __keyagent_mark
    __keyagent_adopt
    if test -n "$DIRENV_KEYAGENT"
        __keyagent_give_way
        return
    end
    # The keys of another project go, though the answer may never come; and whoever breaks
    # off the wait for it is not made to wait at the next prompt again.
    if test "$__keyagent_entered" != "$__keyagent_manifest"
        __keyagent_begin ''
        set -g __keyagent_entered
    end
    __keyagent_note $argv[1]
    set -g __keyagent_begun
    if test -n "$__keyagent_manifest"; and command -q $__keyagent_client
        set -l profile
        test -n "$KEYAGENT_PROFILE"; and set profile "--profile=$KEYAGENT_PROFILE"
        $__keyagent_client export --format fish --hook $argv[2..] $profile </dev/null | source
    else if test -n "$__keyagent_manifest"
        # fish itself would say it in ten lines.
        echo "keyagent: cannot run `$__keyagent_client`" >&2
    end
    test -n "$__keyagent_begun"; or __keyagent_begin ''
    set -g __keyagent_entered $__keyagent_manifest
end

# Remembers all that was looked at.
function __keyagent_note # TEXT
    set -g __keyagent_seen "$__keyagent_manifest:$KEYAGENT_PROFILE:$KEYAGENT_LOADED:$DIRENV_KEYAGENT:$KEYAGENT_SOCK:$argv[1]"
    set -g __keyagent_noted $__keyagent_seen
    __keyagent_find
end

# What keyagent prints: first this, whatever comes of the keys.
function __keyagent_begin # MARK
    for var in $__keyagent_ours
        __keyagent_restore $var
    end
    set -g __keyagent_ours
    set -eg KEYAGENT_LOADED
    set -g __keyagent_record
    set -g __keyagent_mark $argv[1]
    set -g __keyagent_begun yes
end

# Then this for each key. Nothing is local here but argv, behind which no key can hide: a
# manifest may not bind it.
function __keyagent_put # VAR VALUE
    if set -q $argv[1]; and test -z "$__keyagent_entered"; and test "$$argv[1]" != "$argv[2]"
        echo "keyagent: `$argv[1]` was set already; it has the vault's value now" >&2
    end
    # A shell inside this one has only the environment to know it by.
    set -qx $argv[1]; and set -gx KEYAGENT_OLD_$argv[1] "$$argv[1]"
    set -g __keyagent_before_$argv[1]
    if set -qg $argv[1]; and set -S $argv[1] | string match -q '*, a path variable*'
        # A list that is written with colons.
        set -qgx $argv[1]; and set -g __keyagent_before_$argv[1] -gx --path $$argv[1]
        or set -g __keyagent_before_$argv[1] -gu --path $$argv[1]
    else if set -qgx $argv[1]
        set -g __keyagent_before_$argv[1] -gx -g $$argv[1]
    else if set -qg $argv[1]
        set -g __keyagent_before_$argv[1] -gu -g $$argv[1]
    end
    set -a __keyagent_ours $argv[1]
    set -eg $argv[1]
    set -gx $argv[1] $argv[2]
end

# And last this.
function __keyagent_end # RECORD
    set -gx KEYAGENT_LOADED $argv[1]
    set -g __keyagent_record $argv[1]
end

# Puts a variable back as it was: unset, or the user's own, exported or not.
function __keyagent_restore # VAR
    set -l var $argv[1]
    set -l before __keyagent_before_$var
    set -eg $var
    set -eg KEYAGENT_OLD_$var
    if set -q {$before}[1]
        set -l was $$before
        set $was[1..2] $var $was[3..]
    end
    set -eg $before
end

# What a shell around this one has loaded is not the user's own either.
function __keyagent_adopt
    test -n "$KEYAGENT_LOADED"; or return
    test "$KEYAGENT_LOADED" != "$__keyagent_record"; or return
    for var in (__keyagent_list_vars $KEYAGENT_LOADED)
        contains -- $var $__keyagent_ours; and continue
        set -l old KEYAGENT_OLD_$var
        set -g __keyagent_before_$var
        set -q $old; and set -g __keyagent_before_$var -gx -g $$old
        set -a __keyagent_ours $var
    end
end

# direnv has loaded the project's keys, and takes them out again: ours go, less those that
# are its own now. What it then puts back is ours, so the record of it stays, for a shell
# inside this one.
function __keyagent_give_way
    set -l theirs (__keyagent_list_vars $DIRENV_KEYAGENT)
    set -l ours $__keyagent_ours
    set -g __keyagent_ours
    for var in $ours
        if contains -- $var $theirs
            set -a __keyagent_ours $var
        else
            __keyagent_restore $var
        end
    end
    # Of a record that is not true any more, nothing stays.
    if test "$ours" != "$__keyagent_ours"; or not set -q __keyagent_ours[1]
        set -eg KEYAGENT_LOADED
        set -g __keyagent_record
    end
end

# The variables that a record names: PROFILE VAR=SECRET@VERSION,… DIRECTORY.
function __keyagent_list_vars # RECORD
    test (string length -- "$argv[1]") -le $__keyagent_record_max; or return
    set -l fields (string split -m 2 ' ' -- $argv[1])
    string replace -r '=.*' '' -- (string split , -- $fields[2]) | string match -r '^[A-Za-z_][A-Za-z0-9_]*$' | string match -rv '^(__keyagent_|KEYAGENT_|fish_|PATH$|HOME$|IFS$)'
end

# fish calls in the order of installation. What is installed at the first prompt comes behind
# direnv, wherever direnv's line stands: then we see what it has loaded, or taken out.
function __keyagent_install --on-event fish_prompt --description 'keyagent: at the first prompt'
    functions --erase __keyagent_install
    function __keyagent_at_prompt --on-event fish_prompt --description 'keyagent: before each prompt'
        __keyagent_prompt
    end
    __keyagent_prompt
end

# The first keys are there before the first prompt.
__keyagent_prompt
