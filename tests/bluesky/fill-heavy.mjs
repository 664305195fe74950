// node fill-heavy.mjs PDS POSTS LIKES: makes two accounts for measurements, one with POSTS posts, the other with POSTS posts and LIKES
// likes. Writes `NAME DID` of each to standard output: posts, likes.
import { callOf } from './call.mjs'

const [pds, posts, likes] = process.argv.slice(2)
const call = callOf(pds)

const POST = 'app.bsky.feed.post'
const LIKE = 'app.bsky.feed.like'
const WRITES = 200
// As long as posts are on average, with what most of them have.
const TEXT = 'The quick brown fox jumps over the lazy dog while the five boxing wizards watch from a hill nearby, é🌍 '

const create = (name) =>
  call('com.atproto.server.createAccount', { handle: `author-of-${name}.test`, email: `${name}@example.com`, password: 'secret' })
const write = async ({ did, accessJwt }, collection, count, value) => {
  for (let at = 0; at < count; at += WRITES) {
    const part = [...Array(Math.min(WRITES, count - at)).keys()].map((place) => value(at + place))
    const writes = part.map((record) => ({ $type: 'com.atproto.repo.applyWrites#create', collection, value: record }))
    await call('com.atproto.repo.applyWrites', { repo: did, writes }, accessJwt)
  }
}
const moment = (number) => new Date(Date.UTC(2026, 0, 1) + number * 60_000).toISOString()
const post = (number) => ({ $type: POST, text: `${number} ${TEXT}`, createdAt: moment(number), langs: ['en'] })

const [one, other] = [await create('posts'), await create('likes')]
await write(one, POST, Number(posts), post)
await write(other, POST, Number(posts), post)
const { records } = await (
  await fetch(`${pds}/xrpc/com.atproto.repo.listRecords?repo=${one.did}&collection=${POST}&limit=1`)
).json()
const subject = { uri: records[0].uri, cid: records[0].cid }
await write(other, LIKE, Number(likes), (number) => ({ $type: LIKE, subject, createdAt: moment(number) }))
console.log(`posts ${one.did}\nlikes ${other.did}`)
