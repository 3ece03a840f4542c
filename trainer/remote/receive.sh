#!/bin/sh
# Unpacks the tar stream with the digest $1 into the folder $2 (by default the one that sent_folder.sh looks for) and prints that
# folder, which is complete or absent: the stream is unpacked beside it, then renamed. It ends with 7 if the stream cannot be
# unpacked, with 8 if it is empty, and with 9 after printing its digest if that is another one. If the stream is another machine's
# answer, it begins after the mark $3.
set -e
[ -n "$2" ] || umask 022
folder=${2:-${XDG_CACHE_HOME:-$HOME/.cache}/mnist-trainer/sent/$1}
store=$(dirname -- "$folder")
mkdir -p "$store"
part=$(mktemp -d "$store/.arriving-XXXXXX")
trap 'rm -rf "$part"' EXIT
trap 'exit 1' HUP INT TERM
mkdir "$part/files"
while [ -n "$3" ] && IFS= read -r line; do
  case $line in *"$3") break ;; esac
done
cat >"$part/stream"
[ -s "$part/stream" ] || exit 8
arrived=$(sha256sum <"$part/stream")
if [ "$arrived" != "$1  -" ]; then echo "$arrived"; exit 9; fi
tar -x -o --no-same-permissions -f "$part/stream" -C "$part/files" || exit 7
[ -d "$folder" ] || mv "$part/files" "$folder"
cd "$folder" && pwd -P
