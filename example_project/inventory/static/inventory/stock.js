import {asyncFetch, resume} from "../asyncexchange/async-fetch.js";

const part = name => document.getElementById(name);
const headers = {Authorization: "Bearer token-anna"};
let controller;

function show(text, isRunning = false) {
  part("text").textContent = text;
  part("start").disabled = isRunning;
  part("cancel").disabled = part("bar").hidden = !isRunning;
}

function onProgress({state, percent, position, operationUrl}) {
  sessionStorage.operationUrl = operationUrl; // the page may be reloaded
  if (percent === null) part("bar").removeAttribute("value"); else part("bar").value = percent;
  show(state === "PENDING" ? `Waiting, number ${position ?? "?"} in the queue` : `Running, ${percent ?? 0} %`, true);
}

async function follow(call) {
  controller = new AbortController();
  show("Starting", true);
  part("download").hidden = true;
  try {
    const response = await call({headers, onProgress, signal: controller.signal});
    part("download").href = URL.createObjectURL(await response.blob());
    part("download").hidden = !response.ok;
    show(`The response has status ${response.status}.`);
    delete sessionStorage.operationUrl;
  } catch (error) {
    show(`${error.name}: ${error.message}`);
    if (!(error instanceof TypeError)) delete sessionStorage.operationUrl; // else the network is lost, not the call
  }
}

part("start").onclick = () => follow(options => asyncFetch("/api/remap/1.2/report/stock/all", options));
part("cancel").onclick = () => controller.abort();
if (sessionStorage.operationUrl) follow(options => resume(sessionStorage.operationUrl, options));
