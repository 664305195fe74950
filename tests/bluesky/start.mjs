// node start.mjs SETTINGS: starts one part of the network; SETTINGS is a JSON object, see each part.
// It says `ready` on a line of its own, and ends when it is killed.
import net from 'node:net'
import { pathToFileURL } from 'node:url'

const settings = JSON.parse(process.argv[2])

// The parts listen on all interfaces, also on ports that no setting reaches: a test's server stays on this host.
const listen = net.Server.prototype.listen
net.Server.prototype.listen = function (first, ...rest) {
  if (typeof first === 'object' && first !== null && 'port' in first) {
    return listen.call(this, { ...first, host: '127.0.0.1' }, ...rest)
  }
  if (first === undefined || typeof first === 'function') {
    return listen.call(this, { port: 0, host: '127.0.0.1' }, ...[first, ...rest].filter((argument) => argument !== undefined))
  }
  const callback = rest.find((argument) => typeof argument === 'function')
  return listen.call(this, { port: Number(first), host: '127.0.0.1' }, ...(callback ? [callback] : []))
}

// Read as the modules are loaded.
Object.assign(process.env, { TMPDIR: settings.folder, NODE_ENV: 'test', LOG_ENABLED: 'false', REDIS_HOST: '127.0.0.1' })
process.on('unhandledRejection', (reason) => console.error('unhandled:', reason))

// The packages are not in a folder above this file.
const devEnv = await import(pathToFileURL(`${settings.modules}/@atproto/dev-env/dist/index.js`).href)
const { start } = await import(`./${settings.part}.mjs`)
await start(devEnv, settings)
console.log('ready')
