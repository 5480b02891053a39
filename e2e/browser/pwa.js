// A small web app of our own, with whatever worker a test gives it.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { createServer } from 'node:http'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { logIn } from './actual.js'
import { atEnd, until } from './common.js'
import { atLogin, covered, distrust, launch, mark } from './engines.js'
import { Stand } from './stand.js'

const page = `<!doctype html>
<title>PWA</title>
<input id="typed">
<script src="/page.js"></script>
`

// The smallest picture, and one of a size that scripts can see.
const picture = '<svg xmlns="http://www.w3.org/2000/svg" width="7" height="7"/>'

// How long a stream of the app's pauses between two parts, and how long it takes when it
// is slow, in milliseconds.
const TICK = 1000
const DELAY = 300

export class Pwa {
	// The requests that reached the app: method, path and body.
	calls = []
	// The headers of the app's pages, and of its worker's script.
	headers = {}
	workerHeaders = { 'Content-Type': 'text/javascript' }
	// The scripts and the other pages beside the page, by path.
	files = {}
	pages = {}
	// The paths of what is saved as a file.
	downloads = []
	// What is done before a request for a path is answered, by path.
	before = {}
	// What is wrong with the answers of its API, if anything is: see ../fault.
	fault = undefined
	// How many bytes of each upload had come when it was cut off.
	cut = []
	// How many parts of its streams were sent, by path.
	parts = {}
	// The handshakes of WebSockets.
	sockets = 0
	#server

	// start starts the app with a worker script, or without one. It ends with t.
	static async start(t, { worker, type = 'classic', files = {} } = {}) {
		const app = new Pwa()
		app.worker = worker
		app.type = type
		app.files = files
		app.#server = createServer((request, response) =>
			app.#serve(request, response).catch((error) => response.destroy(error)),
		)
		app.#server.on('upgrade', (request, socket) => app.#upgrade(request, socket))
		app.#server.listen(0, '127.0.0.1')
		await once(app.#server, 'listening')
		app.url = `http://127.0.0.1:${app.#server.address().port}`
		atEnd(t, () => app.stop())
		return app
	}

	// stop ends the app, as a broken server does.
	async stop() {
		this.#server.closeAllConnections()
		this.#server.close()
	}

	async #serve(request, response) {
		const { pathname } = new URL(request.url, this.url)
		const send = (status, headers, body) => response.writeHead(status, headers).end(body)
		await this.before[pathname]?.()
		if (pathname === '/sw.js') {
			if (this.worker === undefined) return send(404, {}, '')
			return send(200, this.workerHeaders, this.worker)
		}
		if (pathname === '/page.js') {
			const register = `navigator.serviceWorker.register('/sw.js', { type: '${this.type}' }).catch((error) => { window.refusal = String(error) })`
			return send(200, { 'Content-Type': 'text/javascript' }, this.worker === undefined ? '' : register)
		}
		if (pathname.startsWith('/picture')) {
			this.calls.push({ method: request.method, path: pathname, headers: request.headers })
			return send(200, { 'Content-Type': 'image/svg+xml' }, picture)
		}
		if (pathname.startsWith('/script')) {
			this.calls.push({ method: request.method, path: pathname, headers: request.headers })
			return send(200, { 'Content-Type': 'text/javascript' }, `window.scripts = (window.scripts ?? 0) + 1`)
		}
		if (pathname === '/many') {
			const scripts = Array.from({ length: 60 }, (_, i) => `<script async src="/script-${i}.js"></script>`)
			return send(200, { 'Content-Type': 'text/html' }, `<!doctype html><title>Many</title>${scripts.join('')}`)
		}
		if (this.downloads.includes(pathname)) return send(200, { 'Content-Disposition': 'attachment' }, 'file')
		if (pathname in this.pages) return send(200, { 'Content-Type': 'text/html' }, this.pages[pathname])
		if (pathname in this.files) return send(200, { 'Content-Type': 'text/javascript' }, this.files[pathname])
		if (pathname.startsWith('/api/')) return this.#api(request, response, pathname)
		return send(200, { 'Content-Type': 'text/html', ...this.headers }, page)
	}

	// upgrade takes a WebSocket and says nothing on it.
	#upgrade(request, socket) {
		this.sockets++
		const key = createHash('sha1').update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
		socket.on('error', () => {})
		socket.write(
			`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${key.digest('base64')}\r\n\r\n`,
		)
	}

	// stream answers with a part a tick for as long as the client listens.
	#stream(response, path, type, part) {
		response.writeHead(200, { 'Content-Type': type })
		this.parts[path] = 0
		const next = () => response.write(part(this.parts[path]++))
		next()
		const ticks = setInterval(next, TICK)
		response.on('close', () => clearInterval(ticks))
	}

	// meet has the fault happen to a request, and resolves to whether that was all.
	async #meet({ url, socket }, response) {
		const faults = {
			slow: () => pause(DELAY).then(() => false),
			hang: () => true,
			reset: () => socket.resetAndDestroy(),
			garbage: () => socket.end('garbage\r\n\r\n'),
			cut: () => {
				response.writeHead(200, { 'Content-Length': 1000 })
				response.write('cut')
				setImmediate(() => socket.destroy())
			},
			loop: () => response.writeHead(302, { Location: url }).end(),
		}
		if (!this.fault) return false
		const happens = faults[this.fault] ?? (() => response.writeHead(Number(this.fault)).end('something went wrong'))
		return (await happens()) !== false
	}

	async #api(request, response, path) {
		if (path === '/api/slow-upload') {
			// So slowly that it lasts, and never to its end: who does not read at all does
			// not notice that it is cut off.
			let length = 0
			request.on('data', (chunk) => {
				length += chunk.length
				request.pause()
				setTimeout(() => request.resume(), 5)
			})
			request.on('error', () => {})
			response.on('close', () => this.cut.push(length))
			return
		}
		const chunks = []
		for await (const chunk of request) {
			chunks.push(chunk)
			// A browser tells of an upload's progress now and then, on a fast machine never.
			if (path === '/api/progress') await pause(1)
		}
		const body = Buffer.concat(chunks)
		if (await this.#meet(request, response)) return
		this.calls.push({ method: request.method, path, headers: request.headers, body })
		if (path === '/api/range') {
			const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range)
			if (range) {
				const [from, to] = [Number(range[1]), Number(range[2])]
				response.writeHead(206, { 'Content-Range': `bytes ${from}-${to}/26` })
				return response.end('abcdefghijklmnopqrstuvwxyz'.slice(from, to + 1))
			}
		}
		if (path === '/api/unauthorized') return response.writeHead(401).end()
		if (path === '/api/redirect') return response.writeHead(302, { Location: '/api/landed' }).end()
		if (path === '/api/event') {
			response.writeHead(200, { 'Content-Type': 'text/event-stream' })
			return response.end('retry: 100\ndata: one\n\n')
		}
		if (path === '/api/stream') {
			response.writeHead(200, { 'Content-Type': 'text/event-stream' })
			response.write('data: one\n\n')
			return
		}
		if (path === '/api/ticks') return this.#stream(response, path, 'text/plain', (i) => `${i}\n`)
		if (path === '/api/events') return this.#stream(response, path, 'text/event-stream', (i) => `data: ${i}\n\n`)
		if (path === '/api/motion') {
			const frame = `--frame\r\nContent-Type: image/svg+xml\r\nContent-Length: ${picture.length}\r\n\r\n${picture}\r\n`
			return this.#stream(response, path, 'multipart/x-mixed-replace; boundary=frame', () => frame)
		}
		response.writeHead(200, { 'Content-Type': 'application/json' })
		response.end(JSON.stringify({ method: request.method, path, length: body.length }))
	}
}

// A worker as people write them by hand: the page from the cache, the rest from
// the network.
export const handWritten = `
'use strict'
const CACHE = 'v1'
self.addEventListener('install', (event) => event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(['/', '/page.js']))))
self.addEventListener('activate', (event) =>
	event.waitUntil(caches.keys().then((names) => Promise.all(names.map((name) => name !== CACHE && caches.delete(name))))))
self.addEventListener('fetch', (event) => {
	if (event.request.mode === 'navigate') event.respondWith(caches.match('/'))
	else if (event.request.url.endsWith('/page.js')) event.respondWith(caches.match('/page.js'))
})
`

// atApp resolves once the page shows the app.
export const atApp = (page) => page.locator('#typed').wait()

// logInAndBack logs in at the login that the page comes to, and resolves at the app.
export async function logInAndBack(page, stand) {
	await atLogin(page)
	await logIn(page, stand)
	await atApp(page)
}

// enter starts app behind the stand, logs in and resolves to both and the page.
export async function enter(t, app, { engine = 'chromium', ...settings } = {}) {
	const stand = await Stand.start(t, { Upstream: app.url, Plugin: true, ...settings })
	const page = await launch(t, engine, stand.keyHash)
	await page.goto(stand.app)
	await logInAndBack(page, stand)
	return { stand, page }
}

// enterCovered is enter, and waits for the refresh script.
export async function enterCovered(t, worker, settings) {
	const app = await Pwa.start(t, { worker })
	const { stand, page } = await enter(t, app, settings)
	await covered(page)
	await mark(page)
	page.visited = []
	return { app, stand, page }
}

// open enters an app with a worker, with the plugin or without it, and resolves once the
// worker controls the page.
export async function open(t, { engine, worker, files, prepare, Plugin = true, ...settings }) {
	const app = await Pwa.start(t, { worker, files })
	prepare?.(app)
	const { stand, page } = await enter(t, app, { engine, Plugin, ...settings })
	if (Plugin) await covered(page)
	else await page.evaluate(async () => Boolean((await navigator.serviceWorker.ready).active))
	await page.goto(`${stand.app}/`)
	await atApp(page)
	await page.waitForFunction(() => Boolean(navigator.serviceWorker.controller))
	await mark(page)
	return { app, stand, page, engine, Plugin }
}

// compare resolves to what a story comes to, which is the same with the plugin and
// without it, at the same time.
export async function compare(t, settings, story) {
	const run = async (Plugin) => story(await open(t, { ...settings, Plugin }))
	const [plugged, plain] = await Promise.all([run(true), run(false)])
	assert.deepEqual(plugged, plain)
	return plain
}

// call fetches a path in the page and resolves to what a page can see of it.
export const call = (page, path, options) =>
	page.evaluate(
		async (path, options) => {
			try {
				const response = await fetch(path, options)
				return { status: response.status, type: response.type, body: await response.text() }
			} catch (error) {
				return { error: error.name }
			}
		},
		path,
		options,
	)

// expire ends sessions, and with them the worker's trust, as their time does.
export async function expire(page, stand, session) {
	await stand.expire(session)
	await distrust(page, stand)
}

// begin fetches a path for a page that may be left before there is an answer, or is left
// already: a visit that was looked at meanwhile has it go to the login, too.
export const begin = (page, path, options) =>
	page
		.evaluate(
			(path, options) => {
				fetch(path, options).catch(() => {})
			},
			path,
			options,
		)
		.catch((error) => {
			if (!/destroyed|navigation|unload/.test(error.message)) throw error
		})

// stopWorkers ends the workers of the profile, as the browser does when they idle.
export async function stopWorkers(page) {
	const profile = page.browserContext()
	const worker = await profile.waitForTarget((target) => target.type() === 'service_worker')
	const session = await page.createCDPSession()
	await session.send('ServiceWorker.enable')
	await session.send('ServiceWorker.stopAllWorkers')
	await until('the end of the worker', () => !profile.targets().includes(worker))
	await session.detach()
}

// refused resolves to how many requests for a path were refused.
export const refused = async (stand, path) =>
	(await stand.requests()).filter((request) => request.RequestPath === path && request.DownstreamStatus === 401).length

// file resolves to the text of a file of a package.
export const file = (path) => readFile(fileURLToPath(new URL(`../node_modules/${path}`, import.meta.url)), 'utf8')

// workbox resolves to the files of some of its packages, by the path that an app has them at.
export async function workbox(...names) {
	const files = {}
	for (const name of names) {
		const built = `workbox-${name}.${name === 'sw' ? 'js' : 'prod.js'}`
		files[`/workbox/${built}`] = await file(`workbox-${name}/build/${built}`)
	}
	return files
}
