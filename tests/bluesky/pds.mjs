// A PDS whose accounts and records survive a restart. Settings: port, plc (URL), appview (URL, may be absent), data (folder),
// rateLimits (boolean), rotationKey (hex): the key that signs its accounts' entries in the directory.
export const start = (devEnv, { port, plc, appview, data, rateLimits, rotationKey }) =>
  devEnv.TestPds.create({
    port,
    hostname: 'localhost',
    didPlcUrl: plc,
    dataDirectory: data,
    blobstoreDiskLocation: `${data}/blobs`,
    plcRotationKeyK256PrivateKeyHex: rotationKey,
    rateLimitsEnabled: rateLimits,
    ...(appview && { bskyAppViewUrl: appview.url, bskyAppViewDid: appview.did }),
  })
