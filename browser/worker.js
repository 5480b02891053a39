// The refresh script. The plugin puts it in front of the app's own service
// worker script, where it renews an expired session and sends refused requests
// again. With recovering set it stands alone, in place of a script that the
// browser could not get because the session has expired.
//
// refreshPath is the path at which a session is renewed, authPaths are the path
// prefixes of the auth server's, without trailing slashes. It is an expression,
// so that the plugin can add the arguments.
;(refreshPath, authPaths, recovering) => {
	// Browsers get a module worker's script without cookies: the auth server
	// refuses that whether or not the session is good, and there is nothing to
	// recover. The registration fails, as it does without the plugin.
	if (recovering && this === undefined) throw new Error('A module worker cannot be had behind a login proxy.')

	// How long nobody is sent to the login after somebody was, in milliseconds.
	// Who comes back without having logged in wants to work offline.
	const TRIP_PAUSE = 5 * 60 * 1000
	// How long a renewal may take, in milliseconds. Every refused call waits.
	const RENEWAL_LIMIT = 30 * 1000
	// How long to wait between two looks for the app's own script, in milliseconds.
	const UPDATE_PAUSE = 2 * 1000
	// How long to wait before asking again to take over, in milliseconds.
	const TAKE_OVER_PAUSE = 1000

	// What must outlast this run of the worker is kept in a cache of our own.
	// Its keys lie under the refresh path, which no app looks up in a cache. An
	// app may delete it, and storage may be full: then less is known.
	const CACHE = 'reauth'
	const INSTALLED = `${refreshPath}?installed=${encodeURIComponent(registration.scope)}`
	const TRIP = `${refreshPath}?trip`

	const ignore = () => {}
	const recall = (key) =>
		caches
			.match(key, { cacheName: CACHE })
			.then((found) => found?.json())
			.catch(ignore)
	const remember = async (key, value) => {
		const cache = await caches.open(CACHE)
		await cache.put(key, Response.json(value))
	}
	const forget = async (key) => {
		const cache = await caches.open(CACHE)
		await cache.delete(key)
	}

	const pathOf = (request) => new URL(request.url).pathname
	const isOfOrigin = (request) => new URL(request.url).origin === location.origin

	// isOurs tells whether a refused answer to a request is to be settled. A visit
	// gets along with the login's redirect, and what is sent without cookies never
	// has a session.
	const isOurs = (request) => isOfOrigin(request) && request.mode !== 'navigate' && request.credentials !== 'omit'

	const isReserved = (path) =>
		path === refreshPath || authPaths.some((prefix) => path === prefix || path.startsWith(`${prefix}/`))

	const isRefused = (response) => response.status === 401 && /^Reauth /.test(response.headers.get('WWW-Authenticate'))

	// isServed tells whether the session was good: a broken auth server says 5xx.
	const isServed = (response) => !isRefused(response) && response.status < 500

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
				() => {
					renewals++
					return true
				},
				() => false,
			)
			.finally(() => {
				renewal = undefined
			})
		return renewal
	}

	const hasBody = ({ method }) => method !== 'GET' && method !== 'HEAD'

	// settle resolves to the answer to a request, or if that is refused to the
	// answer to its replay. The request left when seen renewals had ended; without
	// a replay, or with one whose body cannot be sent again, the caller gets the
	// 401. A renewal may lose to another tab's login that is under way: only the
	// second in vain says that it takes a person.
	const settle = async (answer, replay, seen, tries = 2) => {
		const response = await answer
		if (!isRefused(response)) return response
		// A renewal that ended after the request had left serves it too.
		if (seen === renewals && !(await renew())) return response
		if (!replay) return response
		const next = tries > 1 && replay.clone()
		const renewed = renewals
		let again
		try {
			again = await fetch(replay)
		} catch (error) {
			if (hasBody(replay)) return response
			throw error
		}
		if (isServed(again)) await endTrip()
		else if (isRefused(again) && next) return settle(again, next, renewed, tries - 1)
		else if (isRefused(again)) await logIn(pathOf(replay))
		return again
	}

	// The last trip to the login: when it started, and which path was refused.
	let trip = recall(TRIP)
	let leaving

	const endTrip = () => {
		trip = undefined
		return forget(TRIP).catch(ignore)
	}

	// served takes note that the server has answered a request. If it is for what
	// was refused before the last trip, the session is good, and the next trip
	// need not wait.
	const served = async (request) => {
		if (recovering) lookForApp()
		const last = await trip
		if (last?.path === pathOf(request)) await endTrip()
	}

	// lookForApp asks for the app's own script now and then, which can be had once
	// the session is good.
	let looked = 0
	const lookForApp = () => {
		if (registration.installing || registration.waiting || Date.now() - looked < UPDATE_PAUSE) return
		looked = Date.now()
		registration.update().catch(ignore)
	}

	// logIn sends the tab that the person looks at to the login and back. Tabs in
	// the background stay: their calls succeed once one tab is back.
	const logIn = (path) => {
		leaving ??= (async () => {
			const tabs = await clients.matchAll({ type: 'window' })
			// The tab that had the focus last comes first.
			const tab = tabs.find((client) => client.visibilityState === 'visible' && client.frameType !== 'nested')
			const last = await trip
			// A clock that was set back does not make the pause longer.
			if (!tab || (last && Math.abs(Date.now() - last.time) < TRIP_PAUSE)) return
			const next = { time: Date.now(), path }
			trip = next
			await remember(TRIP, next).catch(ignore)
			const shared = await clients.matchAll({ type: 'sharedworker' })
			// While a worker activates, the visit waits for it: it is not awaited.
			leave(tab, shared.length > 0).catch(ignore)
		})().finally(() => {
			leaving = undefined
		})
		return leaving
	}

	// leave sends a tab to the login. Who cancels that by going back would get the
	// page as it was, but without its shared workers: Actual 26.9 then loses what
	// is typed. A message to the page keeps browsers from keeping it so.
	const leave = async (tab, sharesWorkers) => {
		await tab.navigate(`${refreshPath}#${tab.url}`)
		if (sharesWorkers) tab.postMessage({})
	}

	let noted

	// The first listener leaves to the network what the login needs, and makes
	// sure that a refused answer of any later listener's is settled.
	const first = (event) => {
		restore()
		// Not before the worker is active: many apps delete the caches that they do
		// not know while it activates.
		if (!recovering && registration.active?.state === 'activated') {
			noted ??= remember(INSTALLED, true).catch(ignore)
			event.waitUntil(noted)
		}
		const { request } = event
		if (isOfOrigin(request) && isReserved(pathOf(request))) {
			event.stopImmediatePropagation()
			return
		}
		if (!isOurs(request)) return
		const seen = renewals
		// Only a request without a body can be sent again after the app's worker
		// has used it.
		const replay = !hasBody(request) && request.clone()
		event.respondWith = (answer) => respond(event, answer, replay, seen)
	}

	const respond = (event, answer, replay, seen) =>
		FetchEvent.prototype.respondWith.call(event, settle(answer, replay, seen))

	// The last listener gets what the app's worker leaves to the network, save
	// for what needs no session or may be answered by the browser's cache only.
	const last = (event) => {
		const { request } = event
		if (!isOurs(request) || request.cache === 'only-if-cached' || request.bodyUsed) return
		const replay = request.clone()
		const answer = fetch(request)
		answer.then((response) => isServed(response) && served(request)).catch(ignore)
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
			takeOver()
		} else if (recovering) {
			await renew()
			throw new Error('The session had expired. The worker in charge stays.')
		}
	}

	// takeOver asks again while it has to: Chromium may miss the moment at which
	// the worker in charge has nothing left to do.
	const takeOver = () => {
		skipWaiting()
		setTimeout(() => (registration.installing || registration.waiting) && takeOver(), TAKE_OVER_PAUSE)
	}

	// activate covers the tabs that were loaded without a worker, too.
	const activate = async () => {
		await clients.claim()
		if (recovering) {
			// The app works without a worker of its own until the session is good.
			await logIn(location.pathname)
		} else {
			// The script came with a good session.
			await endTrip()
		}
	}
}
