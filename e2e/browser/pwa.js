// A small web app of our own, with whatever worker a test gives it.
import { createServer } from 'node:http'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { atEnd } from './common.js'

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

// file resolves to the text of a file of a package.
export const file = (path) => readFile(fileURLToPath(new URL(`../node_modules/${path}`, import.meta.url)), 'utf8')
