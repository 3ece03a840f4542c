#!/bin/sh
# Prints the folder with the digest $1 on the other machine, or nothing if it does not exist.
folder=${XDG_CACHE_HOME:-$HOME/.cache}/mnist-trainer/sent/$1
if [ -d "$folder" ]; then cd "$folder" && pwd -P; fi
