#!/bin/sh
# Fails while a TODO is left in a folder: nothing-left-to-do.sh FOLDER
if grep -rn TODO "$1"; then
    echo "there is something left to do" >&2
    exit 1
fi
