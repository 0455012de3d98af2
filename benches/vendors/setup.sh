#!/bin/sh
# Gets the vendors' own clients, in the versions they are compared in, into a folder.
set -eu
folder=${1:?usage: setup.sh FOLDER}
mkdir -p "$folder"
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet jwplatform==2.2.2 api.video==1.4.7
if command -v npm >/dev/null; then
    npm install --silent --prefix "$folder" @api.video/nodejs-client@2.6.8
fi
