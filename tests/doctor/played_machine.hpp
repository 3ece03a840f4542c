// A remote machine that is played: programs `ssh` and `docker` which stand first in PATH. The played ssh
// hands its last word to a real shell, as sshd does; the played docker runs the trainer itself. Both write
// down their words, each ended by a zero byte, each call by a word of its own.
//   $PLAY/here, $PLAY/there   an engine each: image (its fingerprint), ID.out, ID.err, ID.code, runs/ID
//   $PLAY/here/devices, $PLAY/there/devices   what the program in the image reports of its devices
//   $PLAY/ssh-fails           what ssh says instead of connecting
//   $PLAY/docker-fails        what docker says on the other machine
//   $PLAY/save-fails, $PLAY/load-fails   what docker says of an image
//   $PLAY/cut                 no connection lasts longer than to the start of a container
//   $PLAY/lasts               no container ends; followed is written when one is followed
//   $PLAY/cuts                logs breaks off midway once for each character of it
//   $PLAY/corrupt             the next copy of a run arrives with a changed byte
//   $PLAY/copied              every copy of a run ends after so many bytes
//   $PLAY/short               files that are sent arrive cut off
//   $PLAY/home                the home folder on the other machine
#pragma once

#include <sys/stat.h>

#include "tests/support/program.hpp"

namespace trainer::test {

inline constexpr const char* kPlayedSsh = R"sh(#!/bin/sh
{ printf '%s\0' "$@"; printf '\004\0'; } >>"$PLAY/ssh.log"
if [ -e "$PLAY/ssh-fails" ]; then cat "$PLAY/ssh-fails" >&2; exit 255; fi
for last in "$@"; do :; done
export MACHINE=there HOME="$PLAY/home" XDG_CACHE_HOME=
case $last in *arriving*) [ ! -e "$PLAY/short" ] || { head -c 3000 | /bin/sh -c "$last"; exit; } ;; esac
exec /bin/sh -c "$last"
)sh";

inline constexpr const char* kPlayedDocker = R"sh(#!/bin/sh
{ printf '%s\0' "$@"; printf '\004\0'; } >>"$PLAY/docker.log"
engine=$PLAY/${MACHINE:-here}
for last in "$@"; do :; done
if [ "$MACHINE" = there ] && [ -e "$PLAY/docker-fails" ]; then cat "$PLAY/docker-fails" >&2; exit 1; fi
# Shows the container of the run $id what type=bind,"source=FROM","target=TO",readonly says.
mount() {
  from=$(printf '%s\n' "$1" | sed 's/^type=bind,"source=//; s/","target=.*//; s/""/"/g')
  to=$engine/root/$id$(printf '%s\n' "$1" | sed 's/.*","target=//; s/",readonly$//; s/""/"/g')
  mkdir -p "$(dirname -- "$to")" && ln -s -- "$from" "$to"
}
missing() { echo "Error response from daemon: No such $1: $last" >&2; exit 1; }
if [ -e "$PLAY/$1-fails" ]; then cat "$PLAY/$1-fails" >&2; exit 1; fi
case "$*" in *" devices --json") exec cat "$engine/devices" ;; esac
case $1 in
  info) echo "28.2.2|linux/x86_64|/tmp|[]" ;;
  image) [ -e "$engine/image" ] || missing image; cat "$engine/image" ;;
  save) cat "$engine/image" ;;
  load) cat >"$engine/image" ;;
  pull) echo "Error response from daemon: pull access denied" >&2; exit 1 ;;
  run)
    while [ "$1" != -- ]; do
      [ "$1" != --name ] || id=$2
      [ "$1" != --env ] || export "$2"
      [ "$1" != --mount ] || mount "$2"
      shift
    done
    shift 2
    [ ! -e "$engine/$id.code" ] || missing never
    mkdir -p "$engine/runs"
    for word in "$@"; do
      shift
      case $word in
        --out=/runs/* | --resume=/runs/*) word=${word%%=*}=$engine${word#*=} ;;
        /sent/*) word=$engine/root/$id$word ;;
        --*=/sent/*) word=${word%%=*}=$engine/root/$id${word#*=} ;;
      esac
      set -- "$@" "$word"
    done
    "$TRAINER" "$@" >"$engine/$id.out" 2>"$engine/$id.err"
    echo $? >"$engine/$id.code"
    echo "$id" ;;
  create)
    while [ "$1" != --name ]; do shift; done
    printf '%s\0' "$@" >"$engine/$2.create" ;;
  start) xargs -0 "$0" run <"$engine/$last.create" ;;
  logs | wait)
    [ ! -e "$PLAY/cut" ] || exit 255
    [ ! -e "$PLAY/lasts" ] || { echo >"$PLAY/followed"; exec sleep 60; }
    [ -e "$engine/$last.code" ] || missing container
    cuts=$(cat "$PLAY/cuts" 2>/dev/null)
    if [ "$1" = logs ] && [ -n "$cuts" ]; then
      printf %s "${cuts#?}" >"$PLAY/cuts"
      head -c "$((600 - 200 * ${#cuts}))" "$engine/$last.out"
      exit 255
    fi
    if [ "$1" = wait ]; then cat "$engine/$last.code"; else cat "$engine/$last.out"; cat "$engine/$last.err" >&2; fi ;;
  inspect)
    if [ -e "$PLAY/cut" ]; then echo "Connection to there closed by remote host." >&2; exit 255; fi
    [ -e "$engine/$last.code" ] || missing container
    echo "{\"Status\":\"exited\",\"ExitCode\":$(cat "$engine/$last.code"),\"OOMKilled\":false,\"Error\":\"\"}" ;;
  cp)
    if [ "$3" = - ]; then mkdir -p "$engine/runs" && exec tar -x -C "$engine/runs"; fi
    [ ! -e "$PLAY/cut" ] || exit 255
    path=$engine/runs/${3#*:/runs/}
    [ -e "$path" ] || { echo "Could not find the file ${3#*:} in container ${3%%:*}" >&2; exit 1; }
    tar -C "${path%/*}" -c "${path##*/}" | head -c "$(cat "$PLAY/copied" 2>/dev/null || echo -0)"
    if [ -e "$PLAY/corrupt" ]; then rm "$PLAY/corrupt"; echo more; fi ;;
  stop | kill) [ -e "$engine/$last.code" ] || missing container ;;
  rm) rm -rf "$engine/$last.code" "$engine/$last.out" "$engine/$last.err" "$engine/runs/$last" ;;
esac
)sh";

class PlayedMachine : public ProgramTest {
 protected:
  PlayedMachine() {
    fs::create_directories(folder_ / "play/here");
    fs::create_directories(folder_ / "play/there");
    fs::create_directories(folder_ / "play/home");
    for (const auto& [name, text] :
         {std::pair("bin/ssh", kPlayedSsh), std::pair("bin/docker", kPlayedDocker)})
      ::chmod(folder_.write(name, text).c_str(), 0755);
    play("here/image", "layers of one\n");
    play("there/image", "layers of one\n");
    folder_.write("targets/vm.compute",
                  "type: remotedocker\naddress: vm.example.com\nusername: me\nbaseDockerImage: "
                  "trainer:1\ngpus: none\n");
    folder_.write("targets/vm.runconfig", "Target: vm\n");
  }

  void play(const std::string& name, const std::string& text) const { folder_.write("play/" + name, text); }
  void stop_playing(const std::string& name) const { fs::remove(folder_ / "play" / name); }
  // Removes the runs here and their containers: the next run, in the same second, may have the same name.
  void forget_runs() const {
    fs::remove_all(folder_ / "runs");
    for (const std::string engine : {"play/here", "play/there"}) {
      const std::string image = read_text(folder_ / engine / "image");
      fs::remove_all(folder_ / engine);
      folder_.write(engine + "/image", image);
    }
  }

  Words played() const {
    return {"PATH=" + at("bin") + ":/usr/bin:/bin", "PLAY=" + at("play"), "TRAINER=" TRAINER_BINARY,
            "XDG_RUNTIME_DIR=" + folder_.path().string()};
  }
  Outcome run(const Words& arguments) const { return trainer(arguments, played()); }

  // A small training that is handed on to a target; data and network are given by absolute paths.
  Outcome submit(const std::string& target, const Words& more = {}, const Words& options = {}) const {
    Words words{"submit", "-c", target};
    words.insert(words.end(), options.begin(), options.end());
    words.insert(words.end(),
                 {"--", "train", "--model", at("small.yaml"), "--data", at("data"), "--threads", "1"});
    words.insert(words.end(), more.begin(), more.end());
    return run(words);
  }

  // Names of the runs here, the oldest first.
  Words runs() const {
    Words names;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder_ / "runs", error))
      names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  }

  // The words of each call of a played program.
  std::vector<Words> calls(const std::string& log) const {
    std::vector<Words> all(1);
    std::string word;
    for (const char c : read_text(folder_ / "play" / log)) {
      if (c != '\0') {
        word += c;
        continue;
      }
      if (word == "\x04")
        all.emplace_back();
      else
        all.back().push_back(word);
      word.clear();
    }
    all.pop_back();
    return all;
  }
};

}  // namespace trainer::test
