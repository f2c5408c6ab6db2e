"""Predictions of `fer` for a folder of face pictures.

model  tflite: quantised, what fer 25.10.3 uses unless told otherwise; keras: its HDF5
region api: the whole picture handed over as the face's rectangle (fer makes it square
       and adds 10 px a side, filled with the mean of the bottom rows);
       stretch: the whole picture resized to the network's 64x64, no border
"""
import argparse

import cv2
import numpy as np
import tensorflow as tf
from faces import LABELS, predict_all
from fer.fer import FER

tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)


class Unrounded(FER):
    """FER that keeps its scores as they were before it rounds them to 0.01."""

    def _classify_emotions(self, gray_faces):
        self.scores = np.asarray(super()._classify_emotions(gray_faces))
        return self.scores

    def api(self, picture):
        height, width = picture.shape[:2]
        self.detect_emotions(picture, face_rectangles=[(0, 0, width, height)])
        return self.scores[0]

    def stretch(self, picture):
        gray = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), (64, 64))
        gray = (gray.astype("float32") / 255 - 0.5) * 2
        return self._classify_emotions(gray[None])[0]


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("folder")
parser.add_argument("out")
parser.add_argument("--model", choices=["tflite", "keras"], default="tflite")
parser.add_argument("--region", choices=["api", "stretch"], default="api")
args = parser.parse_args()
tool = Unrounded(use_tflite=args.model == "tflite")
predict_all(args.folder, args.out, LABELS, getattr(tool, args.region))
