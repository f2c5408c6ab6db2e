// Reads pictures (height, width as uint32, RGB bytes) from stdin, writes seven float32 each.
// Node packages are taken from the tool's own folder, the script's first argument.
const path = require('path');

const folder = path.resolve(process.argv[2]);
const need = (name) => require(require.resolve(name, { paths: [folder] }));
const file = (name) => path.join(folder, 'node_modules', name);

async function* pictures() {
  let held = Buffer.alloc(0);
  for await (const chunk of process.stdin) {
    held = Buffer.concat([held, chunk]);
    while (held.length >= 8) {
      const [height, width] = [held.readUInt32LE(0), held.readUInt32LE(4)];
      const end = 8 + height * width * 3;
      if (held.length < end) break;
      yield { height, width, rgb: Uint8Array.from(held.subarray(8, end)) };
      held = held.subarray(end);
    }
  }
}

// TensorFlow.js on WebAssembly, one thread, its binary from the package (no download)
async function start(tf) {
  const wasm = need('@tensorflow/tfjs-backend-wasm');
  wasm.setWasmPaths(`${file('@tensorflow/tfjs-backend-wasm/dist')}/`);
  wasm.setThreadsCount(1);
  await tf.setBackend('wasm');
  await tf.ready();
}

async function answer(predict) {
  for await (const { height, width, rgb } of pictures()) {
    const scores = Float32Array.from(await predict(rgb, height, width));
    process.stdout.write(Buffer.from(scores.buffer));
  }
}

module.exports = { need, file, start, answer };
