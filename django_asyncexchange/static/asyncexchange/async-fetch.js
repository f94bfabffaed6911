/** `fetch` for calls that are answered later, in the dialect `prefer` (RFC 7240). See docs/howto/javascript.rst. */

const WAIT = 20, PROGRESS_WAIT = 2; // seconds that a poll waits for the end, without and with a look at the progress
const SUBMITS = 5, POLLS = 20, LONGEST_PAUSE = 30; // tries in a row, the latter for about eight minutes; seconds
const OF_THE_CALL = /^(content-.*|idempotency-key|prefer)$/; // headers that are for the call alone
const CONDITIONS = /^(if-.*|range)$/; // and for its result

/** A call without a response: `code` is `cancelled`, `expired`, `lost`, …; `problem` is the document (RFC 9457). */
export class AsyncCallError extends Error {
  constructor(status, problem, code) {
    super(problem.detail ?? `The call has no response (status ${status}).`);
    Object.assign(this, {name: "AsyncCallError", status, problem, code: code ?? problem.code});
  }
}

/**
 * Call `url`, with the options of `fetch`. `onProgress` gets {state, percent, message, eta, position, operationUrl}
 * when the call is accepted and with every poll. Aborting `signal` cancels the call.
 * A response of the view is returned whatever its status is. Rejects with AsyncCallError where there is none and never
 * will be, with the reason of `signal`, and with TypeError, as `fetch` does, if the server cannot be reached.
 */
export async function asyncFetch(url, {onProgress, ...options} = {}) {
  const call = new Request(url, options), {signal} = call, connection = new AbortController();
  signal.throwIfAborted();
  const isRepeatable = ["GET", "HEAD"].includes(call.method) || call.headers.has("Idempotency-Key");
  if (!call.headers.has("Idempotency-Key")) call.headers.set("Idempotency-Key", randomKey());
  call.headers.append("Prefer", "respond-async");
  const send = () => fetch(new Request(call.clone(), {integrity: "", signal: connection.signal}));
  const submitted = repeated(send, {signal, tries: isRepeatable ? SUBMITS : 1});
  const drop = (response, operation = operationOf(response)) =>
    operation ? cancel(call, operation) : connection.abort(signal.reason);
  const abort = () => submitted.then(response => drop(response), () => {}); // only the 202 names what to cancel
  signal.addEventListener("abort", abort);
  const response = await unlessAborted(submitted, signal);
  const operation = operationOf(response);
  if (!operation) return response;
  signal.removeEventListener("abort", abort);
  return followed(call, operation, onProgress, onProgress && await response.json().catch(() => ({state: "PENDING"})));
}

/** Go on with a call by the `operationUrl` that `onProgress` was given, for example after the page was reloaded. */
export async function resume(operationUrl, {onProgress, ...options} = {}) {
  return followed(new Request(operationUrl, options), new URL(operationUrl, location).href, onProgress);
}

async function followed(call, operation, onProgress, task) {
  const address = operation.replace(/\/operations\/([^/]+)$/, "/tasks/$1");
  const tell = task => onProgress?.(progressOf(task, operation));
  try {
    call.signal.throwIfAborted();
    if (task) tell(task);
    await finished(call, address, onProgress ? PROGRESS_WAIT : WAIT, tell);
    const {document} = await polled(call, operation);
    return await result(call, document, `${address}/result`);
  } catch (error) {
    if (call.signal.aborted) cancel(call, operation);
    throw error;
  }
}

/** Poll the status until it redirects to the result, which a script cannot read, but can notice. */
async function finished(call, address, wait, tell) {
  for (;;) {
    const start = performance.now(), response = await polled(call, address, {wait, redirect: "manual"});
    if (response.type === "opaqueredirect") return;
    tell(response.document);
    if (performance.now() - start < 1000) await sleep(secondsOf(response) ?? 1, call.signal); // it did not wait
  }
}

/** The response of the view, or its absence as an error. The monitor's document says which statuses are the view's. */
async function result(call, operation, address) {
  const isOfTheView = response => response.headers.has("AsyncResult") || response.redirected ||
    operation.error?.code === `http_${response.status}`;
  const {signal, cache, integrity, redirect} = call, options = {isResult: true, signal, cache, integrity, redirect};
  const ask = () => fetch(request(call, operation.resourceLocation ?? address, options));
  const isTransient = response => isPassing(response) && !isOfTheView(response);
  const response = await repeated(ask, {signal, tries: POLLS, isTransient});
  if (response.status < 400 || isOfTheView(response)) return response;
  const problem = await problemOf(response);
  throw new AsyncCallError(response.status, problem, problem.code === "failed" ? operation.error?.code : problem.code);
}

/** The response, with its JSON as `document`. A poll that is not answered in time has lost its connection. */
async function polled(call, address, {wait = 0, redirect} = {}) {
  const ask = async () => {
    const signal = AbortSignal.any([call.signal, AbortSignal.timeout((wait + LONGEST_PAUSE) * 1000)]);
    const response = await fetch(request(call, address, {wait, redirect, signal, cache: "no-store"}));
    return Object.assign(response, {document: response.ok ? await response.json() : null});
  };
  const response = await repeated(ask, {signal: call.signal, tries: POLLS, isTransient: isPassing});
  if (response.status >= 400) throw new AsyncCallError(response.status, await problemOf(response));
  return response;
}

/** Headers and credentials of the caller are sent to the origin of the call only. */
function request(call, address, {wait = 0, isResult = false, ...init}) {
  const isSameOrigin = new URL(address).origin === new URL(call.url).origin;
  const isKept = name => !OF_THE_CALL.test(name) && (!CONDITIONS.test(name) || (isResult && call.method === "GET"));
  const headers = new Headers(isSameOrigin ? [...call.headers].filter(([name]) => isKept(name)) : []);
  if (!isResult) headers.set("Accept", "application/json");
  if (wait) headers.set("Prefer", `wait=${wait}`);
  const credentials = isSameOrigin ? call.credentials : "omit";
  return new Request(address, {credentials, headers, referrerPolicy: call.referrerPolicy, ...init});
}

/** Call `ask` again, ever more slowly, after network errors and transient responses. */
async function repeated(ask, {signal, tries, isTransient = () => false}) {
  for (let failures = 1; ; failures++) {
    let pause = Math.min(2 ** (failures - 1), LONGEST_PAUSE); // seconds
    try {
      const response = await ask();
      if (failures === tries || !isTransient(response)) return response;
      pause = secondsOf(response) ?? pause;
    } catch (error) {
      const isLost = error instanceof TypeError || error.name === "TimeoutError";
      if (signal.aborted || !isLost) throw signal.reason ?? error;
      if (failures === tries) throw new TypeError(error.message, {cause: error});
    }
    await sleep(pause, signal);
  }
}

function operationOf(response) {
  const isAccepted = response.status === 202 && /\brespond-async\b/.test(response.headers.get("Preference-Applied"));
  const address = isAccepted && response.headers.get("Operation-Location");
  return address ? new URL(address, response.url).href : null;
}

function progressOf({state, progress, eta = null, queue_position: position = null}, operationUrl) {
  const percent = progress?.total ? Math.max(0, Math.min(100, Math.floor(100 * progress.done / progress.total))) : null;
  return {state, percent, message: progress?.message ?? "", eta, position, operationUrl};
}

const cancel = (call, address) => repeated(() => fetch(request(call, address, {method: "DELETE", keepalive: true})),
  {signal: new AbortController().signal, tries: POLLS, isTransient: isPassing}).catch(() => {});
const isPassing = response => [408, 429, 502, 503, 504].includes(response.status);
const problemOf = response => response.json().catch(() => ({}));
const secondsOf = response => Number(response.headers.get("Retry-After")) || null; // a date is as none
const sleep = (seconds, signal) => unlessAborted(new Promise(end => setTimeout(end, seconds * 1000)), signal);
const randomKey = () => crypto.getRandomValues(new Uint32Array(4)).join("-"); // randomUUID needs HTTPS

function unlessAborted(promise, signal) {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort);
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
