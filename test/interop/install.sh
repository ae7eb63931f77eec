#!/bin/bash
# Installs the official clients into a directory (first word; default node_modules/.cache/interop), what they need included (root on
# Debian: apt-get). For each client that cannot be had, <client>.missing there says why. Ends well then too: the suite lists them.
# Pinned versions stand in clients/: requirements.txt, pom.xml, package.json, go.mod. Ruby's are Debian's own.
set -uo pipefail
cd "$(dirname "$0")/clients"
home=${1:-../../../node_modules/.cache/interop}
mkdir -p "$home" && home=$(cd "$home" && pwd)

# What was installed from these files is not installed again.
fresh() { [ -e "$home/$1.done" ] && [ "$(cat "$home/$1.done")" = "$(cat "${@:2}" | sha256sum)" ]; }

# One at a time: dpkg has one lock, and does not wait for it.
apt() {
  command -v apt-get >/dev/null && [ "$(id -u)" -eq 0 ] || { echo "not root on Debian, and missing: $*" && return 1; }
  (
    flock 9
    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
  ) 9>"$home/apt.lock"
}

python() {
  python3 -c 'import ensurepip, venv' || apt python3-venv || return 1
  python3 -m venv "$home/python" && "$home/python/bin/pip" install -q -r python/requirements.txt
}

java() {
  command -v javac && command -v mvn || apt default-jdk-headless maven || return 1
  mvn -q -B -f java/pom.xml dependency:build-classpath "-Dmdep.outputFile=$home/java.classpath" &&
    javac -nowarn -d "$home/java" -cp "$(cat "$home/java.classpath")" java/src/main/java/interop/*.java
}

javascript() {
  mkdir -p "$home/javascript" && cp javascript/package.json javascript/esdk.mjs "$home/javascript" &&
    (cd "$home/javascript" && npm install --no-audit --no-fund --no-package-lock)
}

golang() {
  command -v go || apt golang-go || return 1
  (cd go && go build -trimpath -buildvcs=false -o "$home/go" .)
}

ruby() {
  command ruby -e 'require "aws-sdk-s3"; require "aws-sdk-kms"' || apt ruby ruby-aws-sdk-s3 ruby-aws-sdk-kms || return 1
  command ruby -e 'require "aws-sdk-s3"; require "aws-sdk-kms"'
}

# Name, function, and the files that decide what is installed.
install() {
  local name=$1 how=$2
  fresh "$name" "${@:3}" && echo "$name: installed before" && return
  rm -f "$home/$name.done" "$home/$name.missing"
  if "$how" >"$home/$name.log" 2>&1; then
    cat "${@:3}" | sha256sum >"$home/$name.done"
    echo "$name: installed"
  else
    # The last lines that say anything are the reason.
    grep -v '^[[:space:]]*$' "$home/$name.log" | tail -n 2 | cut -c1-300 >"$home/$name.missing"
    echo "$name: MISSING: $(cat "$home/$name.missing")"
  fi
}

install python python python/requirements.txt &
install java java java/pom.xml java/src/main/java/interop/*.java &
install javascript javascript javascript/package.json javascript/esdk.mjs &
install go golang go/go.mod go/go.sum go/main.go &
install ruby ruby /dev/null &
wait
