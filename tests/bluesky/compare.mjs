// node compare.mjs FOLDER EXPECTED CRAWLED: compares the files of a source in a dataset with what fill.mjs published. CRAWLED
// has a DID on each line: the accounts that were crawled. Exit code 1 and a line on standard error for the first difference.
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { crc32, gunzipSync } from 'node:zlib'

const [folder, expectedFile, crawledFile] = process.argv.slice(2)
const expected = JSON.parse(readFileSync(expectedFile, 'utf8'))
const crawled = readFileSync(crawledFile, 'utf8').split('\n').filter(Boolean)

const fail = (what) => {
  console.error(`the dataset differs: ${what}`)
  process.exit(1)
}
// The same for two objects whose keys have another order.
const canonical = (value) => {
  if (Array.isArray(value)) return `[${value.map(canonical)}]`
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  return `{${Object.keys(value).sort().map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`)}}`
}
const file = (did, kind) => {
  const place = (crc32(did) >>> 24).toString(16).padStart(2, '0')
  return join(folder, place, `${did.replaceAll(':', '%3A')}.${kind}`)
}
const lines = (path) => {
  try {
    return gunzipSync(readFileSync(path)).toString('utf8').split('\n').filter(Boolean)
  } catch (error) {
    return fail(`${path}: ${error.message}`)
  }
}
// Records of all collections are in the order of their keys.
const key = ({ uri }) => uri.split('/').at(-1)

const written = new Set()
let [records, followers] = [0, 0]
for (const did of crawled) {
  const account = expected[did]
  if (!account) fail(`${did} is no account of the network`)
  const timeline = file(did, 'twt')
  const found = lines(timeline).map((line) => JSON.parse(line))
  const wanted = [...account.records].sort((one, other) => (key(one) < key(other) ? 1 : -1))
  if (found.length !== wanted.length) fail(`${timeline} has ${found.length} records, not ${wanted.length}`)
  wanted.forEach((record, at) => {
    if (canonical(found[at]) !== canonical(record)) fail(`${timeline}: line ${at + 1} is not ${record.uri}`)
  })
  const list = file(did, 'fws')
  const ids = lines(list)
  if (canonical([...ids].sort()) !== canonical([...account.followers].sort())) fail(`${list} has other followers`)
  written.add(timeline).add(list)
  records += found.length
  followers += ids.length
}
for (const entry of readdirSync(folder, { recursive: true })) {
  const path = join(folder, entry)
  if (/\.(twt|fws)$/.test(path) && !/\/\.[^/]*$/.test(path) && !written.has(path)) fail(`${path} is of no account that was crawled`)
}
console.log(`${written.size} files equal what was published: ${records} posts and reposts and ${followers} followers`)
