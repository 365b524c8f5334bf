#!/usr/bin/env bash
# Collect what run.sh needs on a machine without a network, and cut it into parts that can be carried one by one.
#
#   benchmarks/gpu/prepare.sh INSTALLED.txt FOLDER [MODEL]
#
# INSTALLED.txt is what `python3 -m pip list --format=freeze` prints on the GPU machine. FOLDER gets bundle/ (wheels and
# weights) and parts/ (the same in parts of MIB MiB, 56 by default, with a manifest of their sha256). MODEL is a Hugging
# Face folder, or a model that `flopwise models list` knows (smollm2-135m-instruct by default), which is converted in the
# environment that `flopwise sglang setup` builds. PYTHON names the Python here that has flopwise's dependencies,
# GPU_PYTHON the version of the GPU machine's (3.12).
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
root=$(cd -- "$here/../.." && pwd)
[ $# -ge 2 ] || { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2; exit 2; }
installed=$1 folder=$2 model=${3:-smollm2-135m-instruct}
python=${PYTHON:-python3}
[ -f "$installed" ] || { echo "prepare: there is no file $installed; run 'python3 -m pip list --format=freeze' on the GPU machine" >&2; exit 1; }
[ ! -e "$folder/parts" ] || { echo "prepare: $folder/parts is there already; remove it, or name another folder" >&2; exit 1; }

mkdir -p "$folder/bundle/weights"
"$python" "$here/wheels.py" "$here/requirements.txt" "$folder/bundle/wheels" --installed "$installed" \
  --python "${GPU_PYTHON:-3.12}"
source=$model
if [ ! -f "$model/config.json" ]; then
  export PYTHONPATH=$root
  "$python" -m flopwise models pull "$model" >&2
  source=$("$python" -c '
import sys
from flopwise.backends.engines.sglang.convert import hf_folder
from flopwise.backends.engines.sglang.environment import set_up_cpu

def tell(text):
    print(text, file=sys.stderr)

print(hf_folder(sys.argv[1], set_up_cpu(tell), tell))' "$model")
fi
cp -rL -- "$source" "$folder/bundle/weights/$(basename -- "$model")"
"$python" "$here/parts.py" split "$folder/bundle" "$folder/parts" --mib "${MIB:-56}"
echo "prepare: carry $folder/parts over part by part, then run benchmarks/gpu/run.sh there"
