// One line of JSON for every test that ended, for the pytest that started this.
export default async function* report(events) {
  for await (const { type, data } of events) {
    if (type !== "test:pass" && type !== "test:fail") continue;
    if (data.details?.type === "suite") continue;
    const cause = data.details?.error?.cause ?? data.details?.error;
    yield `${JSON.stringify({
      name: data.name,
      passed: type === "test:pass",
      skipped: data.skip === undefined || data.skip === false ? null : String(data.skip),
      error: cause ? String(cause.stack ?? cause) : null,
      seconds: (data.details?.duration_ms ?? 0) / 1000,
    })}\n`;
  }
}
