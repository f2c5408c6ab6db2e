#!/bin/bash
# All predictions, one process at a time: film faces, then FER2013's PublicTest as a known answer.
# usage: run_all.sh FILM_FOLDER PUBLICTEST_FOLDER OUT_FOLDER
set -eu
cd "$(dirname "$0")"
film=$1 known=$2 out=$3
mkdir -p "$out/known"
export OMP_NUM_THREADS=1 TF_CPP_MIN_LOG_LEVEL=3
both() { # both NAME ENVIRONMENT SCRIPT [OPTION...]
  local name=$1 python=$2 script=$3; shift 3
  "$python/bin/python" "$script" "$@" "$film" "$out/$name.parquet"
  "$python/bin/python" "$script" "$@" "$known" "$out/known/$name.parquet"
}
both fer fer fer_predict.py
both fer_stretch fer fer_predict.py --region stretch
both facial_emotion_recognition facial-emotion-recognition facial_emotion_recognition_predict.py
both human fer node_predict.py human
both face_api fer node_predict.py face-api
both facex facex facex_predict.py
