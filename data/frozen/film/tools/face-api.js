// Expressions by @vladmandic/face-api: the whole picture is the face (padded to a square
// and resized to 112x112 in the package).
const { need, file, start, answer } = require('./pipe.js');

(async () => {
  const tf = need('@tensorflow/tfjs');
  await start(tf);
  const faceapi = need('@vladmandic/face-api/dist/face-api.node-wasm.js');
  const network = faceapi.nets.faceExpressionNet;
  await network.loadFromDisk(file('@vladmandic/face-api/model'));
  await answer(async (rgb, height, width) => {
    const picture = tf.tensor3d(rgb, [height, width, 3], 'int32');
    const found = await network.predictExpressions(picture);
    picture.dispose();
    return ['neutral', 'happy', 'sad', 'angry', 'fearful', 'disgusted', 'surprised'].map((label) => found[label]);
  });
})();
