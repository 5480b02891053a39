// The refresh script. The plugin puts it in front of the app's own service
// worker script, where it renews an expired session and sends refused requests
// again. With recovering set it stands alone, in place of a script that the
// browser could not get because the session has expired.
//
// refreshPath is the path at which a session is renewed, authPaths are the path
// prefixes of the auth server's, without trailing slashes. It is an expression,
// so that the plugin can add the arguments.
;((refreshPath, authPaths, recovering) => {
	// Browsers get a module worker's script without cookies: the auth server
	// refuses that whether or not the session is good, and there is nothing to
	// recover. The registration fails, as it does without the plugin.
	if (recovering && this === undefined) throw new Error('A module worker cannot be had behind a login proxy.')

	// How long nobody is sent to the login after somebody was, in milliseconds.
	// Who comes back without having logged in wants to work offline.
	const TRIP_PAUSE = 5 * 60 * 1000
	// How long a renewal may take, in milliseconds. Every refused call waits.
	const RENEWAL_LIMIT = 30 * 1000

	// What must outlast this run of the worker is kept in a cache of our own.
	// Its keys lie under the refresh path, which no app looks up in a cache.
	const CACHE = 'reauth'
	const INSTALLED = `${refreshPath}?installed=${encodeURIComponent(registration.scope)}`
	const TRIP = `${refreshPath}?trip`

	const recall = async (key) => (await caches.match(key, { cacheName: CACHE }))?.json()
	const remember = async (key, value) => (await caches.open(CACHE)).put(key, Response.json(value))
	const forget = async (key) => (await caches.open(CACHE)).delete(key)

	const isReserved = (path) =>
		path === refreshPath || authPaths.some((prefix) => path === prefix || path.startsWith(`${prefix}/`))

	const isRefused = (response) =>
		response.status === 401 && /^Reauth /.test(response.headers.get('WWW-Authenticate'))

	// How many renewals have ended, and the one that is under way.
	let renewals = 0
	let renewal

	// renew resolves to whether the auth server could be reached. Whether the
	// session is good again only a replay can tell: the answer is opaque.
	const renew = () => {
		renewal ??= fetch(refreshPath, {
			mode: 'no-cors',
			credentials: 'include',
			cache: 'no-store',
			signal: AbortSignal.timeout(RENEWAL_LIMIT),
		})
			.then(
				() => true,
				() => false,
			)
			.finally(() => {
				renewals++
				renewal = undefined
			})
		return renewal
	}

	// settle resolves to the answer to a request, or if that is refused to the
	// answer to its replay. The request left when seen renewals had ended; without
	// a replay the caller gets the 401.
	const settle = async (answer, replay, seen) => {
		const response = await answer
		if (!isRefused(response)) return response
		// A renewal that ended after the request had left serves it too.
		const late = seen !== renewals
		if (!late && !(await renew())) return response
		if (!replay) return response
		if (late) {
			const next = replay.clone()
			return settle(fetch(replay), next, renewals)
		}
		// A body that cannot be sent again is not.
		const again = await fetch(replay).catch(() => response)
		if (isRefused(again)) await logIn(pathOf(response))
		else await endTrip()
		return again
	}

	const pathOf = (response) => new URL(response.url).pathname

	// The last trip to the login: when it started, and which path was refused.
	let trip = recall(TRIP)
	let leaving

	const endTrip = () => {
		trip = undefined
		return forget(TRIP)
	}

	// served takes note that the server has answered. A path that it refused
	// before the last trip tells that the session is good: the next trip need not
	// wait.
	const served = async (response) => {
		// The app's own script may be had again, perhaps.
		if (recovering) registration.update().catch(() => {})
		const last = await trip
		if (last && response.url && last.path === pathOf(response)) await endTrip()
	}

	// logIn sends the tab that the person looks at to the login and back. Tabs in
	// the background stay: their calls succeed once one tab is back.
	const logIn = (path) => {
		leaving ??= (async () => {
			const tabs = await clients.matchAll({ type: 'window' })
			// The tab that had the focus last comes first.
			const tab = tabs.find((client) => client.visibilityState === 'visible' && client.frameType !== 'nested')
			const last = await trip
			if (!tab || (last && Date.now() - last.time < TRIP_PAUSE)) return
			const next = { time: Date.now(), path }
			trip = next
			await remember(TRIP, next)
			// While a worker activates, the visit waits for it: it is not awaited.
			tab.navigate(refreshPath).catch(() => {})
		})().finally(() => {
			leaving = undefined
		})
		return leaving
	}

	// The first listener leaves to the network what the login needs, and makes
	// sure that a refused answer of any later listener's is settled.
	const first = (event) => {
		restore()
		const { request } = event
		const url = new URL(request.url)
		if (url.origin !== location.origin) return
		if (isReserved(url.pathname)) {
			event.stopImmediatePropagation()
			return
		}
		if (request.mode === 'navigate') return
		const seen = renewals
		// Only a request without a body can be sent again after the app's worker
		// has used it.
		const replay = /^(GET|HEAD)$/.test(request.method) && request.clone()
		event.respondWith = (answer) => respond(event, answer, replay, seen)
	}

	const respond = (event, answer, replay, seen) =>
		FetchEvent.prototype.respondWith.call(event, settle(answer, replay, seen))

	// The last listener gets what the app's worker leaves to the network.
	const last = (event) => {
		const { request } = event
		if (new URL(request.url).origin !== location.origin || request.mode === 'navigate' || request.bodyUsed) return
		// Nothing but the browser's own code may fetch these.
		if (request.cache === 'only-if-cached') return
		const replay = request.clone()
		const answer = fetch(request)
		answer.then((response) => isRefused(response) || served(response)).catch(() => {})
		respond(event, answer, replay, renewals)
	}

	const keepLast = () => {
		EventTarget.prototype.removeEventListener.call(self, 'fetch', last)
		EventTarget.prototype.addEventListener.call(self, 'fetch', last)
	}
	const listen = (...args) => {
		EventTarget.prototype.addEventListener.apply(self, args)
		keepLast()
	}
	const restore = () => {
		if (self.addEventListener === listen) delete self.addEventListener
	}

	self.addEventListener('fetch', first)
	self.addEventListener('install', (event) => event.waitUntil(install()))
	self.addEventListener('activate', (event) => event.waitUntil(activate()))
	keepLast()
	// Listeners may be added until the script has run, an onfetch among them.
	self.addEventListener = listen
	queueMicrotask(keepLast)

	// install decides whether to take over. Where a refresh script is in charge
	// already, updates wait as the app wants them to.
	const install = async () => {
		if (!(await recall(INSTALLED))) {
			await skipWaiting()
		} else if (recovering) {
			await renew()
			throw new Error('The session had expired. The worker in charge stays.')
		}
	}

	// activate covers the tabs that were loaded without a worker, too.
	const activate = async () => {
		await clients.claim()
		if (recovering) {
			// The app works without a worker of its own until the session is good.
			await logIn(location.pathname)
		} else {
			await remember(INSTALLED, true)
			// The script came with a good session.
			await endTrip()
		}
	}
})
