// Submit, wait, result and cancel in two dialects, with types of the OpenAPI document and openapi-fetch.
import createClient from "openapi-fetch";

import type { components, paths } from "./document.js";

declare const process: { argv: string[] };

type Task = components["schemas"]["PreferTask"];

const base = process.argv[2]!;
const client = createClient<paths>({
  baseUrl: base,
  headers: { Authorization: "Bearer token-anna" },
  redirect: "manual",
});
const DASHBOARD = "/api/remap/1.2/report/dashboard/{period}";

function check(name: string, isTrue: boolean): void {
  if (!isTrue) throw new Error(name);
  console.log(name);
}

function idIn(address: string | null): string {
  const id = address?.split("/").at(-1);
  if (!id) throw new Error(`no id in ${address}`);
  return id;
}

async function pause(seconds: number): Promise<void> {
  await new Promise<void>((done) => setTimeout(done, seconds * 1000));
}

const atOnce = await client.GET(DASHBOARD, { params: { path: { period: "day" } } });
const expected: components["schemas"]["Dashboard"] = atOnce.data as components["schemas"]["Dashboard"];

async function preferred(): Promise<Task> {
  const call = { params: { path: { period: "day" }, header: { Prefer: "respond-async" } } } as const;
  const { data, response } = await client.GET(DASHBOARD, call);
  check("Prefer: 202", response.status === 202);
  return data as Task;
}

async function prefer(): Promise<void> {
  const { id } = await preferred();
  const params = { path: { id } };
  for (;;) {
    const { response } = await client.GET("/async/tasks/{id}", { params });
    if (response.status === 303) break;
    check("Prefer: the task is at work", response.status === 202);
    await pause(Number(response.headers.get("Retry-After") ?? "1"));
  }
  const result = await client.GET("/async/tasks/{id}/result", { params });
  check("Prefer: result", JSON.stringify(result.data) === JSON.stringify(expected));
  const unwanted = { path: { id: (await preferred()).id } };
  const { response } = await client.DELETE("/async/tasks/{id}", { params: unwanted });
  check("Prefer: cancelled", response.status === 204);
  const gone = await client.GET("/async/tasks/{id}/result", { params: unwanted });
  check("Prefer: no result", gone.response.status === 410 && gone.error !== undefined);
}

async function submitted(): Promise<string> {
  const call = { params: { path: { period: "day" }, query: { async: "true" } } } as const;
  const { response } = await client.GET(DASHBOARD, call);
  check("MoySklad: 202", response.status === 202);
  return idIn(response.headers.get("Content-Location"));
}

async function moysklad(): Promise<void> {
  const params = { path: { id: await submitted() } };
  for (;;) {
    const { data } = await client.GET("/api/remap/1.2/async/{id}", { params });
    if (data?.state === "DONE") break;
    check("MoySklad: the task is at work", data?.state === "PENDING" || data?.state === "PROCESSING");
    await pause(0.2);
  }
  // A redirect to a signed link, which is the response.
  const result = await client.GET("/api/remap/1.2/async/{id}/result", { params, redirect: "follow" });
  const { sales } = result.data as typeof expected;
  check("MoySklad: result", JSON.stringify(sales) === JSON.stringify(expected.sales));
  const unwanted = { path: { id: await submitted() } };
  const { response } = await client.PUT("/api/remap/1.2/async/{id}/cancel", { params: unwanted });
  check("MoySklad: cancelled", response.status === 204);
  const { data } = await client.GET("/api/remap/1.2/async/{id}", { params: unwanted });
  check("MoySklad: the state is CANCEL", data?.state === "CANCEL");
}

await prefer();
await moysklad();
