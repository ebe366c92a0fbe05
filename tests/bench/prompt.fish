# What prompt.bash measures, in fish. A `cd` calls the hook, too, and the prompt calls it again.
# fish has no clock of its own: `date` is called around each loop, and once more to know what
# that costs.
# usage: prompt.fish keyagent CALLS ENTRIES ONE OTHER OUTSIDE
set calls (seq $argv[2])
set entries (seq $argv[3])
set one $argv[4]
set other $argv[5]
set outside $argv[6]
set hook __keyagent_prompt
keyagent hook fish | source

function empty
end

# The mean of what lies between two moments, less what `date` takes, with a tab behind it.
function show # START END COUNT
    set -l count $argv[3]
    test $count -gt 0; or set count 1
    printf '%.3f\t' (math "max(0, $argv[2] - $argv[1] - $clock) / $count")
end

function mark
    date +%s%6N
end

function time_calls # FUNCTION
    set -l start (mark)
    for i in $calls
        $argv[1]
    end
    show $start (mark) (count $calls)
end

function settle # DIRECTORY
    cd $argv[1]
    $hook
end

function enter
    set -l to $other
    for i in $entries
        cd $to
        $hook
        test $to = $one; and set to $other; or set to $one
    end
end

function execute
    for i in $entries
        keyagent exec -- /bin/true
    end
end

set clock 0
set start (mark)
set clock (math (mark) - $start)
settle $one/a/b
test -n "$BENCH_KEY_5"; or exit 1
time_calls empty
time_calls $hook
settle $outside
test -z "$BENCH_KEY_5"; or exit 1
time_calls $hook
settle $one
set start (mark)
enter
show $start (mark) (count $entries)
set start (mark)
execute
show $start (mark) (count $entries)
test -n "$BENCH_KEY_5"
