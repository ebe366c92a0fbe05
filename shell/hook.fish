# keyagent for fish: the keys of a project come when you enter it, and go when you leave.
# In ~/.config/fish/config.fish:  keyagent hook fish | source    (fish 3.4 or newer)
#
# At a prompt where nothing changed it forks nothing and starts nothing: it looks at the
# manifest and at the project's stamp, which the agent bumps. It prints nothing on stdout,
# never asks, and evaluates only what keyagent prints. KEYAGENT_PROFILE, if you set it,
# names the profile.

# Our own program, wherever PATH leads by now.
set -g __keyagent_client keyagent
# How many directories upward a manifest is looked for.
set -g __keyagent_places_max 128
# The largest manifest, and a byte.
set -g __keyagent_text_max 65537

set -g __keyagent_pwd # where we stood when the places were listed
set -g __keyagent_places # where a manifest may be, the nearest first
set -g __keyagent_still # what `test` has to find, as long as the nearest is the same
set -g __keyagent_manifest # the nearest manifest
set -g __keyagent_stamp # the file that the agent bumps
set -g __keyagent_number # what was in it when the keys were read
set -g __keyagent_seen # all that was looked at when keyagent was asked last
set -g __keyagent_entered # the manifest whose overrides were named
# Kept if this is sourced again: the variables that are ours now (and how each was before,
# in __keyagent_before_VAR), and KEYAGENT_LOADED as it was written here.
set -q __keyagent_ours; or set -g __keyagent_ours
set -q __keyagent_record; or set -g __keyagent_record

function __keyagent_prompt --on-event fish_prompt --on-variable PWD --description 'keyagent: before each prompt, and after each cd'
    test "$PWD" = "$__keyagent_pwd" $__keyagent_still; or __keyagent_find
    set -l text
    if test -f "$__keyagent_manifest" -a -r "$__keyagent_manifest"
        # Local, so that the user's own limit is back when this block ends.
        set -l fish_read_limit $__keyagent_text_max
        read -z text <$__keyagent_manifest
    end
    set -g __keyagent_number
    if test -f "$__keyagent_stamp" -a -r "$__keyagent_stamp"
        read -g __keyagent_number <$__keyagent_stamp
    end
    if test "$__keyagent_seen" != "$__keyagent_manifest:$KEYAGENT_PROFILE:$text:$__keyagent_number:$KEYAGENT_LOADED:$DIRENV_KEYAGENT"
        __keyagent_reload $__keyagent_manifest
        set -g __keyagent_seen "$__keyagent_manifest:$KEYAGENT_PROFILE:$text:$__keyagent_number:$KEYAGENT_LOADED:$DIRENV_KEYAGENT"
    end
end

# The nearest manifest, and the test that says that it still is.
function __keyagent_find
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
end

# Upward from where we stand, never above a directory of another owner; then the user's own.
# The agent is asked by the kernel's path, so links on the way are left out of it.
function __keyagent_list_places
    set -g __keyagent_pwd $PWD
    set -g __keyagent_places
    set -l dir (pwd -P 2>/dev/null | string collect)
    while string match -q '/*' -- $dir; and test -O $dir; and test (count $__keyagent_places) -lt $__keyagent_places_max
        set dir (string replace -r '/$' '' -- $dir | string collect)
        set -a __keyagent_places $dir/keyagent.toml
        test -n "$dir"; or break
        set dir (string replace -r '(?s)/[^/]*$' '' -- $dir | string collect)
        test -n "$dir"; or set dir /
    end
    set dir $XDG_CONFIG_HOME
    string match -q '/*' -- $dir; or set dir $HOME/.config
    set -a __keyagent_places $dir/keyagent/keyagent.toml
end

# Asks, and has the variables be what the answer says.
function __keyagent_reload # [MANIFEST]
    if test -n "$DIRENV_KEYAGENT"
        __keyagent_give_way
        return
    end
    __keyagent_adopt
    test "$__keyagent_entered" = "$argv[1]"; or set -g __keyagent_entered
    set -g __keyagent_begun
    if set -q argv[1]
        set -l profile
        test -n "$KEYAGENT_PROFILE"; and set profile "--profile=$KEYAGENT_PROFILE"
        $__keyagent_client export --format fish --hook $profile </dev/null | source
    end
    test -n "$__keyagent_begun"; or __keyagent_begin '' ''
    set -g __keyagent_entered $argv[1]
end

# What keyagent prints: first this, whatever comes of the keys.
function __keyagent_begin # STAMP NUMBER
    for var in $__keyagent_ours
        __keyagent_restore $var
    end
    set -eg KEYAGENT_LOADED
    set -g __keyagent_record
    set -g __keyagent_stamp $argv[1]
    set -g __keyagent_number $argv[2]
    set -g __keyagent_begun yes
end

# Then this for each key.
function __keyagent_put # VAR VALUE
    set -l var $argv[1]
    if set -q $var; and test -z "$__keyagent_entered"; and test "$$var" != "$argv[2]"
        echo "keyagent: `$var` was set already; it has the vault's value now" >&2
    end
    set -g __keyagent_before_$var
    if set -qgx $var
        set -g __keyagent_before_$var -gx $$var
        # A shell inside this one has only the environment to know it by.
        set -gx KEYAGENT_OLD_$var "$$var"
    else if set -qg $var
        set -g __keyagent_before_$var -gu $$var
    end
    set -a __keyagent_ours $var
    set -eg $var
    set -gx $var $argv[2]
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
        set $was[1] $var $was[2..]
    end
    set -eg $before
    if set -l at (contains -i -- $var $__keyagent_ours)
        set -e __keyagent_ours[$at]
    end
end

# What a shell around this one has loaded is not the user's own either.
function __keyagent_adopt
    test -n "$KEYAGENT_LOADED"; or return
    test "$KEYAGENT_LOADED" != "$__keyagent_record"; or return
    for var in (__keyagent_list_vars $KEYAGENT_LOADED)
        contains -- $var $__keyagent_ours; and continue
        set -l old KEYAGENT_OLD_$var
        set -g __keyagent_before_$var
        set -q $old; and set -g __keyagent_before_$var -gx $$old
        set -a __keyagent_ours $var
    end
end

# direnv has loaded the project's keys, and takes them out again: ours go, less those that
# are its own now.
function __keyagent_give_way
    set -l theirs (__keyagent_list_vars $DIRENV_KEYAGENT)
    for var in $__keyagent_ours
        contains -- $var $theirs; or __keyagent_restore $var
    end
    set -eg KEYAGENT_LOADED
    set -g __keyagent_record
end

# The variables that a record names: PROFILE VAR=SECRET@VERSION,… DIRECTORY.
function __keyagent_list_vars # RECORD
    set -l fields (string split -m 2 ' ' -- $argv[1])
    string replace -r '=.*' '' -- (string split , -- $fields[2]) | string match -r '^[A-Za-z_][A-Za-z0-9_]*$'
end

# The first keys are there before the first prompt.
__keyagent_prompt
