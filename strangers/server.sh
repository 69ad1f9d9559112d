# Sourced by each stranger: a fresh server on free ports, and what all of them need.
set -euo pipefail

# What must hold, and did not.
fail() {
  echo "FAILED: $*"
  exit 1
}

# The clients that a stranger consists of: need PROGRAM…
need() {
  local program
  for program in "$@"; do
    command -v "$program" >/dev/null ||
      fail "the client $program is missing: strangers/install brings it"
  done
}

# A server in its own home: house NAME [options of serve]. The last one opened is the one spoken to.
servers=()
trap 'kill "${servers[@]}" 2>/dev/null || true; wait || true' EXIT
house() {
  home="$PWD/$1"
  shift
  "$MUSTER" serve --home "$home" --any-port --public-url http://pki.example.com:8080 "$@" \
    >"$home.log" 2>&1 &
  servers+=("$!")
  for _ in $(seq 100); do
    [ -s "$home/run/ports.json" ] && break
    kill -0 "$!" 2>/dev/null || fail "the server did not start: $(cat "$home.log")"
    sleep 0.1
  done
  device=$(port device) operator=$(port operator) public=$(port public)
  est="https://localhost:$device/.well-known/est"
  root="$home.root.pem"
  m ca export --root >"$root"
}
port() { jq -re ".$1" "$home/run/ports.json"; }
m() { "$MUSTER" --home "$home" "$@"; }

# The public id of the authority with a role: authority ROLE
authority() { m ca list --json | jq -re ".[] | select(.role == \"$1\") | .id"; }

# A P-256 key and a request for it: key NAME SUBJECT
key() {
  openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"
  openssl req -new -key "$1.key" -subj "$2" -out "$1.csr"
}

# A unit born at the line: born NAME SERIAL; leaves NAME.key and NAME.pem (its chain)
born() {
  key "$1" "/serialNumber=$2"
  m birth --csr "$1.csr" --serial "$2" --model P7 >"$1.pem"
}
