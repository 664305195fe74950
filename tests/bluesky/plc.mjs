// The directory of DIDs, in memory. Settings: port.
export const start = (devEnv, { port }) => devEnv.TestPlc.create({ port })
