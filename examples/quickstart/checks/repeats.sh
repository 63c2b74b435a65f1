#!/bin/sh
# Checks that a pattern is the same again after its period, and not before:
# repeats.sh PATTERN
set -eu

pattern=build/patterns/$1
case $1 in
    block) period=1 ;;
    blinker) period=2 ;;
    pulsar) period=3 ;;
    *) echo "nobody knows the period of $1" >&2; exit 2 ;;
esac

now=$(cat "$pattern")
generation=1
while [ "$generation" -lt "$period" ]; do
    if [ "$(./build/life "$generation" < "$pattern")" = "$now" ]; then
        echo "$1 repeats already after $generation" >&2
        exit 1
    fi
    generation=$((generation + 1))
done
[ "$(./build/life "$period" < "$pattern")" = "$now" ]
echo "$1 repeats every $period:"
echo "$now"
