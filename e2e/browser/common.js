// What every engine's driver and every test needs.
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'

// How long anything may take, in milliseconds: a first load on a busy machine.
export const LIMIT = 60_000

const endings = new WeakMap()

// atEnd has things ended with the test t, the last that was started first: what
// is connected to a server has to go before it.
export function atEnd(t, end) {
	if (!endings.has(t)) {
		const stack = []
		endings.set(t, stack)
		t.after(async () => {
			for (const each of stack.reverse()) await each()
		})
	}
	endings.get(t).push(end)
}

// newProfile resolves to a folder for a browser profile that ends with the test.
export async function newProfile(t) {
	const profile = await mkdtemp(join(tmpdir(), 'reauth-profile-'))
	atEnd(t, () => rm(profile, { recursive: true, force: true, maxRetries: 5 }))
	return profile
}

// serve serves pages, by path, on every host of the machine until the test ends, and
// resolves to a function that returns the URL of a path of a host. One whose name ends in
// example is of the site of the stand's.
export async function serve(t, pages) {
	const server = createServer(({ url }, response) => {
		const { pathname } = new URL(url, 'http://any')
		const type = pathname.endsWith('.js') ? 'text/javascript' : 'text/html'
		response.writeHead(pathname in pages ? 200 : 404, { 'Content-Type': type }).end(pages[pathname])
	})
	server.listen(0, '127.0.0.1')
	await once(server, 'listening')
	atEnd(t, () => {
		server.closeAllConnections()
		server.close()
	})
	return (host, path = '/') => `http://${host}.localhost:${server.address().port}${path}`
}

// untilAsked resolves once check is true. While it is not it calls ask, at once and
// then now and then: what was asked may have been lost.
export async function untilAsked(what, check, ask) {
	let checks = 0
	await until(what, async () => {
		if (await check()) return true
		if (checks++ % 100 === 0) await ask()
		return false
	})
}

// until resolves to what check returns once that is true.
export async function until(what, check) {
	const deadline = Date.now() + LIMIT
	for (;;) {
		const result = await check()
		if (result) return result
		if (Date.now() > deadline) throw new Error(`in vain for ${LIMIT / 1000} s: ${what}`)
		await pause(20)
	}
}
