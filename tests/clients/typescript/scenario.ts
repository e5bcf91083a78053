// A webhook's life, with the client that @hey-api/openapi-ts makes from the OpenAPI document.
//
// Arguments: the gateway's address, an API key, and the address of a receiver that takes the first
// event, refuses the second one once, and takes what follows. Prints what it has seen as JSON;
// scenario.py does the same. The compiler checks it against the generated types.

import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'

import { createClient, createConfig } from './client/client/index.js'
import {
  createWebhook,
  deleteWebhook,
  getJob,
  getWebhook,
  getWebhookDelivery,
  listWebhookDeliveries,
  publishEvent,
  recoverWebhook,
  rotateWebhookSecret,
  updateWebhook,
  type DeliveryStatus,
  type Problem,
  type Webhook,
} from './client/index.js'

const TRIES = 300
const EVERY_MS = 100
const [baseUrl, apiKey, receiver] = process.argv.slice(2)
assert(baseUrl && apiKey && receiver)

const clientWith = (auth: string) => createClient(createConfig({ baseUrl, auth }))
const client = clientWith(apiKey)

async function until<T>(look: () => Promise<T | undefined>, what: string): Promise<T> {
  for (let tries = 0; tries < TRIES; tries++) {
    const found = await look()
    if (found !== undefined) return found
    await sleep(EVERY_MS)
  }
  throw new Error(`no ${what} after ${TRIES * EVERY_MS} ms`)
}

// What was answered, or what was refused; the other one of the two is a failure of the scenario.
function told<T>(answer: { data?: T; error?: unknown }): NonNullable<T> {
  assert(answer.data, JSON.stringify(answer.error))
  return answer.data
}
function refused(answer: { data?: unknown; error?: Problem }): Problem {
  assert(answer.error, JSON.stringify(answer.data))
  return answer.error
}

async function publish(shortCode: string): Promise<string> {
  const call = {
    client,
    body: { type: 'qr.scanned', data: { short_code: shortCode } },
    headers: { 'Idempotency-Key': `scan-${shortCode}` },
  }
  const first = told(await publishEvent(call))
  assert.equal(told(await publishEvent(call)).id, first.id)
  return first.id
}

function logged(webhookId: string, eventId: string, status: DeliveryStatus) {
  const call = { client, path: { webhook_id: webhookId }, query: { status } }
  return until(async () => {
    const { data } = told(await listWebhookDeliveries(call))
    return data.find((one) => one.event_id === eventId)
  }, `delivery of ${eventId} that is ${status}`)
}

async function refusals() {
  const wrong = { url: 'http://127.0.0.1.example:99999/', events: ['qr.scaned'] }
  const path = { webhook_id: 'wh_none' }
  const invalid = refused(await createWebhook({ client, body: wrong }))
  const absent = refused(await getWebhook({ client, path }))
  const unknown = refused(await getWebhook({ client: clientWith('nobody'), path }))
  const all = [invalid, absent, unknown]
  return {
    types: all.map((problem) => problem.type),
    statuses: all.map((problem) => problem.status),
    fields: invalid.errors?.map((error) => error.field),
  }
}

async function changed(path: { webhook_id: string }): Promise<Problem> {
  const shown = await getWebhook({ client, path })
  const etag = shown.response?.headers.get('ETag')
  assert(etag)
  const call = { client, path, body: { description: 'Changed' }, headers: { 'If-Match': etag } }
  assert.equal(told(await updateWebhook(call)).description, 'Changed')
  return refused(await updateWebhook(call))
}

async function recovered(webhook: Webhook) {
  const path = { webhook_id: webhook.id }
  const begun = told(await recoverWebhook({ client, path, body: { since: webhook.created_at } }))
  return until(async () => {
    const job = told(await getJob({ client, path: { job_id: begun.id } }))
    return job.state === 'running' ? undefined : job
  }, 'end of the job')
}

const webhook = told(
  await createWebhook({
    client,
    body: {
      url: receiver,
      events: ['*'],
      metadata: { team: 'billing' },
      retry_delays: [],
      description: 'First',
    },
  }),
)
const path = { webhook_id: webhook.id }
const first = await publish('first')
const delivery = await logged(webhook.id, first, 'success')
const detail = told(
  await getWebhookDelivery({ client, path: { ...path, delivery_id: delivery.id } }),
)
const second = await publish('second')
await logged(webhook.id, second, 'failed')
const job = await recovered(webhook)
await logged(webhook.id, second, 'success')
const stale = await changed(path)
const secret = told(await rotateWebhookSecret({ client, path, body: { overlap_s: 0 } }))
const third = await publish('third')
await logged(webhook.id, third, 'success')
const wrong = await refusals()
assert.equal((await deleteWebhook({ client, path })).response?.status, 204)
const gone = refused(await getWebhook({ client, path }))

console.log(
  JSON.stringify({
    events: [first, second, third],
    secrets: [webhook.secret, secret.secret],
    metadata: webhook.metadata,
    body: detail.request.body,
    answered: detail.response?.status_code,
    recovered: job.sent,
    stale: [stale.status, stale.type],
    gone: gone.status,
    refused: wrong,
  }),
)
