// The AppView, which reads everything from one PDS. Settings: port, plc (URL), pds (URL), postgres (URL).
export const start = async (devEnv, { port, plc, pds, postgres }) => {
  const appview = await devEnv.TestBsky.create({
    port,
    publicUrl: `http://localhost:${port}`,
    plcUrl: plc,
    pdsPort: Number(new URL(pds).port),
    repoProvider: pds.replace('http:', 'ws:'),
    // Nothing is read from there.
    bsyncUrl: 'http://localhost:1',
    bsyncApiKey: 'none',
    dbPostgresUrl: postgres,
    dbPostgresSchema: 'appview',
  })
  // No DNS has the names of a test: the PDS that gave them answers for them.
  const resolve = async (handle) => {
    const answer = await fetch(`${pds}/xrpc/com.atproto.identity.resolveHandle?handle=${encodeURIComponent(handle)}`)
    return answer.ok ? (await answer.json()).did : undefined
  }
  for (const resolver of [appview.ctx.idResolver, appview.dataplane.idResolver]) resolver.handle.resolve = resolve
  console.log('did', appview.serverDid)
}
