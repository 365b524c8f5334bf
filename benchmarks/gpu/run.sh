#!/usr/bin/env bash
# Measure shared prefixes and feeding on this machine's GPU, without a network, from a folder of wheels and weights.
#
#   benchmarks/gpu/run.sh BUNDLE RESULTS
#
# BUNDLE is what prepare.sh made: wheels/, and the model's Hugging Face folder weights/MODEL. RESULTS gets one JSON file a
# benchmark, the logs, and summary.txt with each benchmark's exit status. Wheels are unpacked beside BUNDLE, and nothing of
# this machine's Python is changed. Where SGLang cannot be imported, Transformers takes its place for the prefixes; the feeding reads
# a server's metrics, so it is left out then.
#
# Set in the environment: SHOWS ("prefix feeding"), LIMIT (most seconds of one benchmark, 400), RUNNING (sequences that the
# server runs at once, 256), REQUESTS (of the feeding, 8000), PAIRS (3), START (seconds to wait for the server, 300), PORT
# (30000), PYTHON (python3).
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
root=$(cd -- "$here/../.." && pwd)
[ $# -eq 2 ] || { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2; exit 2; }
bundle=$(cd -- "$1" && pwd)
mkdir -p -- "$2"
results=$(cd -- "$2" && pwd)
python=${PYTHON:-python3} port=${PORT:-30000} limit=${LIMIT:-400}
site=$(dirname -- "$bundle")/site

shopt -s nullglob
wheels=("$bundle"/wheels/*.whl)
configs=("$bundle"/weights/*/config.json)
[ ${#configs[@]} -eq 1 ] || {
  echo "run: one weights/MODEL/config.json is needed in $1, but there are ${#configs[@]}" >&2
  exit 1
}
model=$(dirname -- "${configs[0]}")

if [ ${#wheels[@]} -gt 0 ] && [ ! -e "$site/.complete" ]; then
  mkdir -p "$site"
  "$python" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "$site" "${wheels[@]}"
  touch "$site/.complete"
fi
export PYTHONPATH="$site:$root" PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1
export FLOPWISE_HOME=${FLOPWISE_HOME:-$(dirname -- "$bundle")/home}

{
  nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv || echo "no nvidia-smi"
  "$python" -m pip list --format=freeze --path "$site"
} > "$results/machine.txt" 2>&1 || true
: > "$results/summary.txt"
failed=0

# benchmark NAME WORDS...: run one, keep its log and its exit status, and go on whatever it was.
benchmark() {
  local name=$1 status=0
  shift
  (cd -- "$root" && timeout "$limit" "$python" -m "$@" --json "$results/$name.json") > "$results/$name.log" 2>&1 || status=$?
  echo "$name: exit status $status" | tee -a "$results/summary.txt"
  [ "$status" -eq 0 ] || { failed=1; tail -n 20 -- "$results/$name.log"; }
}

if ! "$python" -c 'import sglang' > "$results/import.log" 2>&1; then
  echo "sglang cannot be imported ($(tail -n 1 "$results/import.log")): Transformers, the prefixes only" | tee -a "$results/summary.txt"
  benchmark prefix-transformers benchmarks.gpu.with_transformers --model "$model"
  exit "$failed"
fi

# The batch is read off the metrics, which a server otherwise renews only every 40th step.
"$python" -m flopwise sglang launch "$model" --port "$port" --log "$results/server.log" \
  --timeout "${START:-300}" -- --max-running-requests "${RUNNING:-256}" --decode-log-interval 1 \
  > "$results/launch.log" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true' EXIT
until grep -q '^sglang:' "$results/launch.log"; do
  kill -0 "$server" 2>/dev/null || { echo "run: the server did not start:" >&2; tail -n 40 "$results/launch.log" >&2; exit 1; }
  sleep 1
done
url=http://127.0.0.1:$port

for show in ${SHOWS:-prefix feeding}; do
  case $show in
    prefix) benchmark prefix benchmarks prefix --engine sglang --url "$url" ;;
    feeding)
      benchmark feeding benchmarks feeding --gpu --url "$url" --requests "${REQUESTS:-8000}" --pairs "${PAIRS:-3}" --every 0.1
      ;;
    *) echo "run: SHOWS has $show; there are prefix and feeding" >&2; exit 1 ;;
  esac
done
exit "$failed"
