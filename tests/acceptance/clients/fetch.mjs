// The walk with Node's fetch, which reads HTTP_PROXY where NODE_USE_ENV_PROXY is set (Node 24 and later).
const [base, gates] = process.argv.slice(2);

const passGate = async (path) => {
  const answer = await fetch(`${gates}/${path}`);
  if (!answer.ok) throw new Error(`gate ${path}: ${answer.status}`);
};
const text = async (path, options) => (await fetch(`${base}/${path}`, options)).text();

async function* pieces() {
  yield new TextEncoder().encode("one");
  await passGate("arrived/3");
  yield new TextEncoder().encode("two");
}

async function gated(name) {
  const answer = await fetch(`${base}/${name}`);
  let first = null;
  let rest = "";
  for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
    rest += piece;
    if (first === null && rest.includes("\n")) {
      [first] = rest.split("\n");
      rest = rest.slice(first.length + 1);
      await passGate(`open/${name}`);
    }
  }
  return `${first}|${rest.replaceAll("\n", "")}`;
}

const flaky = await fetch(`${base}/flaky`);
await flaky.text();
process.stdout.write(JSON.stringify({
  hello: await text("hello"),
  flaky: `${flaky.status} ${flaky.headers.get("x-sidecar-attempts")}`,
  echo: await text("echo", { method: "POST", body: "amount=1" }),
  upload: await text("upload", { method: "POST", body: ReadableStream.from(pieces()), duplex: "half" }),
  download: await gated("download"),
  events: await gated("events"),
}));
