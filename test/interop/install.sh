#!/bin/bash
# Installs the official clients into a directory (first word; default node_modules/.cache/interop), what they need included (root on
# Debian: apt-get). For each client that cannot be had, <client>.missing there says why. Ends well then too: the suite lists them.
# Pinned versions stand in clients/: requirements.txt, pom.xml, go.mod. Ruby's are Debian's own.
set -uo pipefail
cd "$(dirname "$0")/clients"
home=${1:-../../../node_modules/.cache/interop}
mkdir -p "$home" && home=$(cd "$home" && pwd)
log=$home/install.log
: >"$log"

# What was installed from these files is not installed again.
fresh() { [ -e "$home/$1.done" ] && [ "$(cat "$home/$1.done")" = "$(cat "${@:2}" | sha256sum)" ]; }

apt() {
  command -v apt-get >/dev/null && [ "$(id -u)" -eq 0 ] || { echo "not root on Debian, and missing: $*" >>"$log" && return 1; }
  [ -n "${updated:-}" ] || { apt-get update -q >>"$log" 2>&1 && updated=1; }
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >>"$log" 2>&1
}

python() {
  python3 -c 'import ensurepip, venv' 2>>"$log" || apt python3-venv || return 1
  python3 -m venv "$home/python" >>"$log" 2>&1 && "$home/python/bin/pip" install -q -r python/requirements.txt >>"$log" 2>&1
}

java() {
  command -v javac >/dev/null && command -v mvn >/dev/null || apt default-jdk-headless maven || return 1
  mvn -q -B -f java/pom.xml dependency:build-classpath "-Dmdep.outputFile=$home/java.classpath" >>"$log" 2>&1 &&
    javac -nowarn -d "$home/java" -cp "$(cat "$home/java.classpath")" java/src/main/java/interop/*.java >>"$log" 2>&1
}

javascript() {
  mkdir -p "$home/javascript" && cp javascript/package.json javascript/esdk.mjs "$home/javascript" &&
    (cd "$home/javascript" && npm install --no-audit --no-fund --no-package-lock) >>"$log" 2>&1
}

go_() {
  command -v go >/dev/null || apt golang-go || return 1
  (cd go && go build -trimpath -buildvcs=false -o "$home/go" .) >>"$log" 2>&1
}

ruby_() {
  ruby -e 'require "aws-sdk-s3"; require "aws-sdk-kms"' 2>>"$log" || apt ruby ruby-aws-sdk-s3 ruby-aws-sdk-kms || return 1
  ruby -e 'require "aws-sdk-s3"; require "aws-sdk-kms"' 2>>"$log"
}

# Name, function, and the files that decide what is installed.
install() {
  local name=$1 how=$2
  fresh "$name" "${@:3}" && echo "$name: installed before" && return
  rm -f "$home/$name.done" "$home/$name.missing"
  echo "-- $name" >>"$log"
  if "$how"; then
    cat "${@:3}" | sha256sum >"$home/$name.done"
    echo "$name: installed"
  else
    # The last lines that say anything are the reason.
    grep -v '^[[:space:]]*$' "$log" | tail -n 2 | cut -c1-300 | tee "$home/$name.missing" | sed "s/^/$name: MISSING: /"
  fi
}

install python python python/requirements.txt
install java java java/pom.xml java/src/main/java/interop/*.java
install javascript javascript javascript/package.json javascript/esdk.mjs
install go go_ go/go.mod go/go.sum go/main.go
install ruby ruby_ /dev/null
