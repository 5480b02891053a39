// A small web app of our own, with whatever worker a test gives it.
import { createServer } from 'node:http'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { logIn } from './actual.js'
import { covered, launch, mark } from './browser.js'
import { atEnd } from './common.js'
import { Stand } from './stand.js'

const page = `<!doctype html>
<title>PWA</title>
<input id="typed">
<script src="/page.js"></script>
`

export class Pwa {
	// The requests that reached the app: method, path and body.
	calls = []
	// The headers of the app's pages, and of its worker's script.
	headers = {}
	workerHeaders = { 'Content-Type': 'text/javascript' }
	// The files beside the page, by path.
	files = {}
	// What is done before a request for a path is answered, by path.
	before = {}
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
		if (pathname in this.files) return send(200, { 'Content-Type': 'text/javascript' }, this.files[pathname])
		if (pathname.startsWith('/api/')) return this.#api(request, response, pathname)
		return send(200, { 'Content-Type': 'text/html', ...this.headers }, page)
	}

	async #api(request, response, path) {
		const chunks = []
		for await (const chunk of request) chunks.push(chunk)
		const body = Buffer.concat(chunks)
		this.calls.push({ method: request.method, path, headers: request.headers, body })
		if (path === '/api/range') {
			const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range)
			if (range) {
				const [from, to] = [Number(range[1]), Number(range[2])]
				response.writeHead(206, { 'Content-Range': `bytes ${from}-${to}/26` })
				return response.end('abcdefghijklmnopqrstuvwxyz'.slice(from, to + 1))
			}
		}
		if (path === '/api/redirect') return response.writeHead(302, { Location: '/api/landed' }).end()
		if (path === '/api/stream') {
			response.writeHead(200, { 'Content-Type': 'text/event-stream' })
			response.write('data: one\n\n')
			return
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

// enter starts app behind the stand, logs in and resolves to both and the page.
export async function enter(t, app, settings) {
	const stand = await Stand.start(t, { Upstream: app.url, Plugin: true, ...settings })
	const page = await launch(t, 'chromium', stand.keyHash)
	await page.goto(stand.app)
	await logIn(page, stand)
	await page.locator('#typed').wait()
	return { stand, page }
}

// enterCovered is enter, and waits for the refresh script.
export async function enterCovered(t, worker, settings) {
	const app = await Pwa.start(t, { worker })
	const { stand, page } = await enter(t, app, settings)
	await covered(page)
	await mark(page)
	page.visited.length = 0
	return { app, stand, page }
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

// begin fetches a path for a page that may be left before there is an answer.
export const begin = (page, path) =>
	page.evaluate((path) => {
		fetch(path)
	}, path)

// refused resolves to how many requests for a path were refused.
export const refused = async (stand, path) =>
	(await stand.requests()).filter((request) => request.RequestPath === path && request.DownstreamStatus === 401).length

// file resolves to the text of a file of a package.
export const file = (path) => readFile(fileURLToPath(new URL(`../node_modules/${path}`, import.meta.url)), 'utf8')
