import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import test from 'node:test'
import vm from 'node:vm'

const source = await readFile(new URL('retire.js', import.meta.url), 'utf8')

test('it takes over at once, goes away, and sees no request', async () => {
	const done = []
	const listeners = new Map()
	const self = {
		addEventListener: (type, listener) => listeners.set(type, listener),
		skipWaiting: () => done.push('skipWaiting'),
		registration: { installing: null, waiting: {}, unregister: async () => done.push('unregister') },
	}
	let later
	const setTimeout = (callback, limit) => {
		assert.equal(limit, 1000)
		later = callback
	}
	vm.runInNewContext(source, { self, setTimeout })
	assert.deepEqual([...listeners.keys()], ['install', 'activate'])
	listeners.get('install')()
	assert.deepEqual(done, ['skipWaiting'])
	later()
	assert.deepEqual(done.splice(0), ['skipWaiting', 'skipWaiting'])
	self.registration.waiting = null
	later()
	assert.deepEqual(done, [])
	let work
	listeners.get('activate')({
		waitUntil: (promise) => {
			work = promise
		},
	})
	await work
	assert.deepEqual(done, ['unregister'])
})
