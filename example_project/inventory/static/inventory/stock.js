import {asyncFetch, resume} from "../asyncexchange/async-fetch.js";

const part = name => document.getElementById(name);
const headers = {Authorization: "Bearer token-anna"};
let controller;

/** Call the report, or go on with the call of this tab: its key is kept before it is sent, its address when accepted. */
function call(options) {
  if (sessionStorage.operationUrl) return resume(sessionStorage.operationUrl, options);
  sessionStorage.idempotencyKey ??= crypto.randomUUID();
  const keyed = {...options.headers, "Idempotency-Key": sessionStorage.idempotencyKey};
  return asyncFetch("/api/remap/1.2/report/stock/all", {...options, headers: keyed});
}

function forget() {
  delete sessionStorage.operationUrl;
  delete sessionStorage.idempotencyKey;
}

function show(text, isRunning = false) {
  part("text").textContent = text;
  part("start").disabled = isRunning;
  part("cancel").disabled = part("bar").hidden = !isRunning;
}

function onProgress({state, percent, position, operationUrl}) {
  sessionStorage.operationUrl = operationUrl;
  if (percent === null) part("bar").removeAttribute("value"); else part("bar").value = percent;
  show(state === "PENDING" ? `Waiting, number ${position ?? "?"} in the queue` : `Running, ${percent ?? 0} %`, true);
}

async function follow() {
  controller = new AbortController();
  show("Starting", true);
  part("download").hidden = true;
  try {
    const response = await call({headers, onProgress, signal: controller.signal});
    part("download").href = URL.createObjectURL(await response.blob());
    part("download").hidden = !response.ok;
    show(`The response has status ${response.status}.`);
    forget();
  } catch (error) {
    const isLost = error instanceof TypeError; // the connection, not the call: Start goes on with it
    show(isLost ? "The server cannot be reached." : `${error.name}: ${error.message}`);
    if (!isLost) forget();
  }
}

part("start").onclick = follow;
part("cancel").onclick = () => controller.abort();
if (sessionStorage.idempotencyKey) follow();
