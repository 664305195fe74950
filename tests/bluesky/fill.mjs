// node fill.mjs PDS APPVIEW ACCOUNTS POSTS FOLLOWS: makes accounts that publish posts, repost one another and follow each
// other in a ring, and waits until the AppView knows it all. Writes what there is to standard output:
// {DID: {handle, records: [{uri, cid, value}, ...] (oldest first), followers: [DID, ...]}}.
import { callOf } from './call.mjs'

const [pds, appview] = process.argv.slice(2)
const call = callOf(pds)
const [accounts, posts, follows] = process.argv.slice(4).map(Number)

const POST = 'app.bsky.feed.post'
const REPOST = 'app.bsky.feed.repost'
const FOLLOW = 'app.bsky.graph.follow'
// The most of one request.
const WRITES = 200
const PROFILES = 25
// How long the AppView may take.
const INDEXED_WITHIN = 120_000

// Runs `work` for 0 to `count`, four at a time.
const forEach = async (count, work) => {
  let next = 0
  const worker = async () => {
    while (next < count) await work(next++)
  }
  await Promise.all([worker(), worker(), worker(), worker()])
}

const write = async (user, collection, values) => {
  const made = []
  for (let at = 0; at < values.length; at += WRITES) {
    const part = values.slice(at, at + WRITES)
    const writes = part.map((value) => ({ $type: 'com.atproto.repo.applyWrites#create', collection, value }))
    const { results } = await call('com.atproto.repo.applyWrites', { repo: user.did, writes }, user.session)
    results.forEach(({ uri, cid }, place) => made.push({ uri, cid, value: part[place] }))
  }
  return made
}

const users = []
await forEach(accounts, async (number) => {
  const handle = `user${number}.test`
  const { did, accessJwt: session } = await call('com.atproto.server.createAccount', {
    handle,
    email: `user${number}@example.com`,
    password: 'secret',
  })
  users[number] = { did, handle, session, records: [] }
})

const moment = (number) => new Date(Date.UTC(2026, 0, 1) + number * 60_000).toISOString()
await forEach(accounts, async (number) => {
  const user = users[number]
  const own = [...Array(posts).keys()].map((at) => ({
    $type: POST,
    text: `post ${at} of ${user.handle} é🌍`,
    createdAt: moment(at),
    langs: [number % 3 ? 'en' : 'it'],
  }))
  user.records = await write(user, POST, own)
})
await forEach(accounts, async (number) => {
  const user = users[number]
  const { uri, cid } = users[(number + 1) % accounts].records[0]
  const repost = { $type: REPOST, subject: { uri, cid }, createdAt: moment(posts) }
  user.records.push(...(await write(user, REPOST, [repost])))
  const followed = [...Array(follows).keys()].map((at) => ({
    $type: FOLLOW,
    subject: users[(number + 1 + at) % accounts].did,
    createdAt: moment(at),
  }))
  await write(user, FOLLOW, followed)
})

const isIndexed = async (part) => {
  const query = part.map((user) => `actors=${encodeURIComponent(user.did)}`).join('&')
  const answer = await fetch(`${appview}/xrpc/app.bsky.actor.getProfiles?${query}`)
  if (!answer.ok) return false
  const { profiles } = await answer.json()
  const whole = ({ handle, followersCount, postsCount }) =>
    handle !== 'handle.invalid' && followersCount === follows && postsCount === posts
  return profiles.length === part.length && profiles.every(whole)
}
const end = Date.now() + INDEXED_WITHIN
for (let at = 0; at < accounts; at += PROFILES) {
  while (!(await isIndexed(users.slice(at, at + PROFILES)))) {
    if (Date.now() > end) throw new Error(`the AppView has not indexed all accounts within ${INDEXED_WITHIN / 1000} s`)
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}

const about = ({ did, handle, records }, number) => {
  const follower = (at) => users[(number - 1 - at + accounts) % accounts].did
  return [did, { handle, records, followers: [...Array(follows).keys()].map(follower) }]
}
console.log(JSON.stringify(Object.fromEntries(users.map(about))))
