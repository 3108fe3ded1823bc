// SPDX-License-Identifier: MIT
// pg-boss: node pgboss.mjs JOBS SINGLES.  No-op jobs a second from a full queue, fetched and completed by 1,000;
// then one at a time on an idle queue, send -> start, its worker told at once as its documentation offers.
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
const require = createRequire(process.cwd() + '/')
const { PgBoss } = await import(pathToFileURL(require.resolve('pg-boss')))

const jobs = Number(process.argv[2]), singles = Number(process.argv[3])
const boss = new PgBoss({
  host: process.env.PGHOST, port: Number(process.env.PGPORT), user: process.env.PGUSER, database: process.env.PGDATABASE,
  max: 10, supervise: false, schedule: false,
})
boss.on('error', (e) => { console.error(e.message); process.exit(1) })
await boss.start()
await boss.createQueue('none')
await boss.createQueue('single')
for (let made = 0; made < jobs; made += 1000)
  await boss.insert('none', Array.from({ length: Math.min(1000, jobs - made) }, () => ({})))
const begin = process.hrtime.bigint()
let done = 0
for (;;) {
  const batch = await boss.fetch('none', { batchSize: 1000 })
  if (batch.length === 0) break
  await boss.complete('none', batch.map((j) => j.id))
  done += batch.length
}
const rate = done / (Number(process.hrtime.bigint() - begin) / 1e9)
let started = null
const worker = await boss.work('single', { pollingIntervalSeconds: 2 }, async () => { if (started) started(process.hrtime.bigint()) })
const times = []
for (let i = 0; i < singles; i++) {
  times.push(await new Promise(async (resolve) => {
    const at = process.hrtime.bigint()
    started = (now) => resolve(Number(now - at) / 1e6)
    await boss.send('single', {})
    boss.notifyWorker(worker)
  }))
  started = null
  await new Promise((r) => setTimeout(r, 10))
}
times.sort((a, b) => a - b)
console.log(JSON.stringify({ jobs_per_s: rate, ended: done, median_ms: times[singles >> 1], p99_ms: times[Math.floor(singles * 0.99)] }))
process.exit(0)
