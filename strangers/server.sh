# Sourced by each stranger: a fresh server on free ports, and what all of them need.
set -euo pipefail

home="$PWD/home"
mkdir -p "$home"
"$MUSTER" serve --home "$home" --any-port --public-url http://pki.example.com:8080 >"$home/serve.log" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true' EXIT
for _ in $(seq 100); do
  [ -s "$home/run/ports.json" ] && break
  kill -0 "$server" || { cat "$home/serve.log"; exit 1; }
  sleep 0.1
done
port() { jq -r ".$1" "$home/run/ports.json"; }
device=$(port device) operator=$(port operator) public=$(port public)
est="https://localhost:$device/.well-known/est"
m() { "$MUSTER" --home "$home" "$@"; }
m ca export --root >root.pem

# A P-256 key and a request for it: key NAME SUBJECT
key() {
  openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"
  openssl req -new -key "$1.key" -subj "$2" -out "$1.csr"
}
# A unit born at the line: born NAME SERIAL; leaves NAME.key and NAME.pem (chain)
born() {
  key "$1" "/serialNumber=$2"
  m birth --csr "$1.csr" --serial "$2" --model P7 >"$1.pem"
}
# What must hold, and what must not.
fail() { echo "FAILED: $*"; exit 1; }
