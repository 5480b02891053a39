// The refresh script. The plugin puts it in front of the app's own service
// worker script. While the session is good it stands aside; it renews the session
// before or after its end, sends refused requests again, and where that takes a
// person, sends one tab through the login and back. With recovering set it stands
// alone, in place of a script that the browser could not get because the session
// has ended. For an app without a worker it is the whole of one, whose script then has
// the refresh path as its own.
//
// A request of a page, once the app's own worker has left it to the network:
//
//	carries an edit          relayed with a copy, which is sent if it is refused
//	else, session trusted    left to the browser, as without the script
//	else                     held until the session is certain, then let go
//
// Let go is a 307 to its own URL: the browser sends the same request again, with
// all that belongs to it, and this time it is left alone. What the app's worker
// fetches itself is relayed; it is never handed a refusal.
//
// The session, as the probe at the refresh path tells it:
//
//	unknown  -> probe -> good, trusted until its end, or a few seconds where that is
//	                     not known
//	                  -> refused -> renewal -> good
//	                                        -> lost
//	lost     nothing is asked until a wait is over, which doubles each time, or until
//	         something tells that the session may be good; a visible tab makes a trip
//
// A trip takes a tab to the refresh path, from there to the login, and back. The next
// one waits for a while, unless the session was good in between or the person asks. So do
// renewals: where the auth server keeps one login in a cookie they would end that of the
// tab that is away. A visit that the network leads to the login is a trip as well.
//
// A worker's life: install asks the worker in charge whether it has the script. If
// not, the new one takes over, else it waits as the app wants; a recovery script then
// renews the session and goes away.
//
// refreshPath is the path at which a session is renewed, authPaths are the path
// prefixes of the auth server's, without trailing slashes, and startPath is where a
// login starts although the session is good, empty if there is no such path. silent
// tells that a login goes by redirects alone while the SSO session lives; without, no
// renewal is tried. It is an expression, so that the plugin can add the arguments.
;(refreshPath, authPaths, startPath, silent, recovering) => {
	// Browsers get a module worker's script without cookies: the auth server
	// refuses that whether or not the session is good, and there is nothing to
	// recover. The registration fails, as it does without the plugin.
	if (recovering && this === undefined) throw new Error('There is no module worker behind a login proxy.')

	const SECOND = 1000
	const MINUTE = 60 * SECOND
	// How long nobody is sent to the login after somebody was. Who comes back
	// without having logged in wants to work offline.
	const TRIP_PAUSE = 5 * MINUTE
	// How long a renewal and a probe may take. Held requests wait for them.
	const RENEWAL_LIMIT = 30 * SECOND
	const PROBE_LIMIT = 10 * SECOND
	// How long a session is trusted whose end is not known, and after how long it is
	// looked at again beside what is left to the browser.
	const TRUST = 6 * SECOND
	const LOOK_PAUSE = 3 * SECOND
	// How long before its known end a session is not trusted any more, how long it is
	// at the least, and at most how long before the end it is renewed ahead.
	const MARGIN = 2 * SECOND
	const LEAST_TRUST = SECOND / 2
	const AHEAD = MINUTE
	// How far the two clocks may drift apart before neither is believed: one stops
	// when the machine sleeps, the other can be set.
	const DRIFT = 2 * SECOND
	// How long nothing is asked after the first renewal in vain, and at most.
	const FIRST_WAIT = 30 * SECOND
	const LONGEST_WAIT = 30 * MINUTE
	// How many refused paths are remembered until the session is good.
	const MOST_PATHS = 200
	// How long a visit may take to become a tab of the app's, how long a login may that
	// goes by redirects alone, and how often either is looked for.
	const ARRIVAL_LIMIT = 20 * SECOND
	const PASSING_LIMIT = 5 * SECOND
	const ARRIVAL_PAUSE = SECOND / 4
	// How long the worker in charge may take to say that it has the script.
	const ANSWER_LIMIT = 5 * SECOND
	// How long to wait between two looks for a newer script, how often a recovery script looks
	// again by itself, and how long to wait before asking again to take over.
	const UPDATE_PAUSE = 2 * SECOND
	const MOST_LOOKS = 4
	// How long storage may take. Requests wait for it.
	const STORAGE_LIMIT = 4 * SECOND
	const TAKE_OVER_PAUSE = SECOND

	// The media types of bodies that are large, show progress, or come from a
	// file. What has another type is taken for an edit.
	const UPLOADS = /^(multipart\/form-data|application\/(octet-stream|pdf|zip|gzip|x-tar)|(audio|image|video)\/)/i
	// The media types of bodies that come through when their request is let go, engine by
	// engine as it was seen. WebKit sends an empty body, and says nothing. Firefox ends the
	// worker with all that it has under way, where the body is a form's.
	const isChromium = navigator.userAgentData
	const COME_THROUGH = isChromium
		? /./
		: /Gecko\/[\d.]+ Firefox\//.test(navigator.userAgent)
			? /^(?!multipart\/form-data)./i
			: /(?!)/

	const VERSION = 'v0.1.0'
	// Whether this is the plugin's own worker, which makes way for one of the app's.
	const own = location.pathname === refreshPath

	const fetch = self.fetch
	const ignore = () => {}

	// tell says on a channel what happens, for apps that want to show it.
	const channel = new BroadcastChannel('reauth')
	const tell = (type) => channel.postMessage({ type, refreshPath })

	// What must outlast this run of the worker is kept in a cache of our own.
	// Its keys lie under a refresh path, which no app looks up in a cache. An
	// app may delete it, and storage may be full or stuck: then less is known. The apps of a host
	// share what they know of a trip, as they share the cookies of a login.
	const CACHE = 'reauth'
	const TRIP = '/_reauth?trip'
	// What the page in place of a visit keeps, when it goes to the login by itself.
	const WENT = '/_reauth?went'
	const LOST = `${refreshPath}?lost`
	const RENEWED = `${refreshPath}?renewed`
	const LENGTH = `${refreshPath}?length`
	const pause = (time) => new Promise((resolve) => setTimeout(resolve, time))
	const orGiveUp = (stored) => Promise.race([stored.catch(ignore), pause(STORAGE_LIMIT)])
	const recall = (key) => orGiveUp(caches.match(key, { cacheName: CACHE }).then((found) => found?.json()))
	// One after the other: the last is what counts.
	let remembered = Promise.resolve()
	const remember = (key, value) => {
		remembered = orGiveUp(
			remembered
				.then(() => caches.open(CACHE))
				.then((cache) => (value ? cache.put(key, new Response(JSON.stringify(value))) : cache.delete(key))),
		)
		return remembered
	}

	// All that a run of the worker remembers.
	// What the last probe or refusal said: good, or not, or undefined if nobody could
	// tell; how long it lasts, if that is known; and by both clocks when it was asked and
	// when it was told. An answer that took its time counts from when it came.
	let session
	// Until when it was last known to be refused, by the clock that cannot be set, and the
	// paths whose 401 was found to be the app's own a moment ago.
	let refused = 0
	const vouched = new Set()
	// How many times something has told that the session may have changed.
	let doubts = 0
	// The longest that a session was seen to last.
	let length = 0
	// The probe, the renewal and the renewal ahead that are under way, and when the
	// last one of these began.
	let probe
	let renewal
	let ahead
	let aheadAt = 0
	// How many renewals have ended well, or logins beside which one was waiting.
	let renewals = 0
	// How many edits are on their way while the session is not certain.
	let unproven = 0
	// When the last trip began, while the session has not been good since.
	let trip
	// Whether a trip may be kept that this run does not know of: a page keeps one in place
	// of a visit.
	let isKept = true
	// The visits that may be on their way to the login, by the tabs that they become
	// otherwise.
	const visits = new Set()
	// Since when and for how long nothing is asked, how many renewals were in vain,
	// and the paths that were refused since.
	let lost
	// Resolves once these and the length are what they were when the last run ended, unless
	// this one knows better by then.
	const recalled = Promise.all([recall(TRIP), recall(LOST), recall(LENGTH)]).then(
		([lastTrip, lastLost, lastLength]) => {
			length ||= lastLength ?? 0
			trip ??= lastTrip
			lost ??= lastLost
		},
	)
	// When a newer script was looked for, whether a visit has come since, and when and how
	// often a recovery script looks again, since a page has asked for something.
	let looked = 0
	let visited = false
	let again
	let looks = 0
	// Whether the app has its pages preloaded, undefined until that is known.
	let preloads

	const pathOf = ({ url }) => new URL(url).pathname
	const isOfOrigin = ({ url }) => new URL(url).origin === location.origin
	const isReserved = (path) =>
		path === refreshPath || authPaths.some((prefix) => path === prefix || path.startsWith(`${prefix}/`))

	// isOurs tells whether a request needs the session and is for us to settle. A
	// visit gets along with the login's redirect, and what is sent without cookies
	// never has a session.
	const isOurs = (request) =>
		isOfOrigin(request) &&
		request.mode !== 'navigate' &&
		request.credentials !== 'omit' &&
		request.cache !== 'only-if-cached' &&
		!isReserved(pathOf(request))

	// isBypass tells whether the app wants no worker to touch a request.
	const isBypass = ({ headers, url }) => headers.has('ngsw-bypass') || new URL(url).searchParams.has('ngsw-bypass')

	const isRefused = ({ status, headers }) => status === 401 && /^Reauth /.test(headers.get('WWW-Authenticate'))

	const mayHaveBody = ({ method }) => method !== 'GET' && method !== 'HEAD'

	// carriesEdit tells whether a request changes something and is small enough to be
	// kept until it is served. An answer that streams must not come by way of a worker.
	const carriesEdit = (request) => {
		if (!mayHaveBody(request) || request.headers.get('Accept') === 'text/event-stream') return false
		const type = request.headers.get('Content-Type')
		return type ? !UPLOADS.test(type) : !request.body
	}

	const isSeen = async () => (await clients.matchAll()).some(isVisible)
	const isVisible = ({ visibilityState }) => visibilityState === 'visible'

	const fetchWithin = async (limit, url, options, read = ignore) => {
		const controller = new AbortController()
		const timer = setTimeout(() => controller.abort(), limit)
		try {
			return await read(await fetch(url, { cache: 'no-store', signal: controller.signal, ...options }))
		} finally {
			clearTimeout(timer)
		}
	}

	const now = () => ({ at: Date.now(), clock: performance.now() })
	// since is how long ago a moment was, or Infinity if that cannot be told.
	const since = (moment) => {
		const { at, clock } = now()
		const passed = at - moment.at
		return passed < 0 || Math.abs(passed - (clock - moment.clock)) > DRIFT ? Number.POSITIVE_INFINITY : passed
	}
	const age = () => (session ? since(session.told) : Number.POSITIVE_INFINITY)
	const isTrusted = () => session?.good === true && age() < (session.left ?? TRUST)
	const isLately = (good) => session?.good === good && age() < LOOK_PAUSE

	// ask sends the probe, which never leaves the origin, follows nothing and begins no
	// login, and resolves to whether the session is good, after a renewal in silence or not.
	const ask = async (isSilent) => {
		const asked = now()
		const before = doubts
		let good
		let left
		try {
			const read = async (response) => (response.ok ? response.json() : {})
			const answer = await fetchWithin(PROBE_LIMIT, `${refreshPath}?probe`, { redirect: 'manual' }, read)
			if (typeof answer.active === 'boolean') good = answer.active
			// What is let go has to get through before it is held again.
			if (answer.expires_in !== undefined) {
				left = Math.max(answer.expires_in * SECOND - since(asked) - MARGIN, LEAST_TRUST)
			}
		} catch {
			// No network, or another server than the plugin.
		}
		// What was found out since is newer.
		if (session?.asked.clock > asked.clock) return session.good
		// The session may have changed meanwhile.
		if (before !== doubts) return ask(isSilent)
		note({ asked, told: now(), good, left })
		if (recovering && good !== false) lookOn()
		if (good) {
			if (recovering) lookForUpdate()
			await recalled
			if (left > length) {
				length = left
				remember(LENGTH, length)
			}
			if (isSilent) await noteRenewal('renewed')
			else if (lost || trip) await noteRenewal('back', lost?.why ?? 'visit')
			await Promise.all([setTrip(), setLost()])
		}
		return good
	}

	// note takes what was found out about the session.
	const note = (found) => {
		if (found.good === false && session?.good !== false) tell('refused')
		if (session?.good === false) refused = found.told.clock
		session = found
	}

	// noteRenewal keeps for the page that tells how things stand when there was a new
	// session, and why it did not come in silence, if it did not.
	const noteRenewal = (type, why) => {
		tell(type)
		return remember(RENEWED, { time: Date.now(), why })
	}

	// look shares the probe that is under way.
	const look = () => {
		probe ??= ask().finally(() => {
			probe = undefined
		})
		return probe
	}

	// follow goes the way of a login behind the scenes, and resolves to whether
	// something came of it. What, only the probe can tell: the answer is opaque.
	const follow = (url) =>
		fetchWithin(RENEWAL_LIMIT, url, { mode: 'no-cors', credentials: 'include' }).then(
			() => true,
			() => false,
		)

	// isAway tells whether a tab is at the login. A clock that was set back does not make
	// the pause longer.
	const isAway = (limit = TRIP_PAUSE) =>
		visits.size > 0 || (trip !== undefined && Math.abs(Date.now() - trip.time) < limit)

	// pass waits for a tab that is away, which may only be passing through the login unless a
	// renewal in vain has told otherwise, and resolves to what the probe says.
	const pass = async () => {
		let good = await look()
		for (
			let left = PASSING_LIMIT;
			good === false && !lost && left > 0 && isAway(PASSING_LIMIT);
			left -= ARRIVAL_PAUSE
		) {
			await pause(ARRIVAL_PAUSE)
			good = await look()
		}
		return good
	}

	// recallTrip finds out what another app's worker knows, or a page.
	const recallTrip = async () => {
		await remembered
		for (const key of visits.size === 0 ? [TRIP, WENT] : [WENT]) {
			const other = await recall(key)
			if (other && !(trip?.time > other.time)) trip = other
		}
	}

	// renew resolves to whether the session is good again. A renewal may lose to
	// another tab's login that is under way: only the second in vain says that it
	// takes a person.
	const renew = () => {
		renewal ??= (async () => {
			await recalled
			await recallTrip()
			if (!silent || isAway()) {
				// Nothing is tried, but a login may have been made.
				const good = await pass()
				if (good) renewals++
				if (good !== false) return good
			}
			// Why it takes a person: the provider goes nowhere in silence, a policy is in the
			// way, or the login wants something.
			let why = silent ? lost?.why : 'provider'
			for (let tries = !silent ? 0 : lost ? 1 : 2; tries > 0 && !isAway(); tries--) {
				const came = await follow(refreshPath)
				why = came ? 'login' : 'policy'
				const good = await ask(true)
				if (good) renewals++
				if (good !== false) return good
				if (!came) break
			}
			const { vain = 0, paths = [] } = lost ?? {}
			// What waits for a tab was not in vain.
			const next = isAway()
				? { wait: FIRST_WAIT, vain }
				: { wait: Math.min(FIRST_WAIT * 2 ** vain, LONGEST_WAIT), vain: vain + 1 }
			if (!lost?.why) tell('login')
			await setLost({ time: Date.now(), paths, why, ...next })
			return false
		})().finally(() => {
			renewal = undefined
		})
		return renewal
	}

	// renewAhead begins a new session while the old one is good and somebody looks.
	const renewAhead = () => {
		ahead ??= (async () => {
			if (!(await isSeen())) return
			aheadAt = Date.now()
			const came = await follow(`${startPath}?rd=${encodeURIComponent(location.origin + refreshPath)}`)
			await ask(came)
		})().finally(() => {
			ahead = undefined
		})
		return ahead
	}

	const setTrip = async (next) => {
		const hasChanged = next || trip || visits.size > 0 || isKept
		trip = next
		if (!next) visits.clear()
		if (!hasChanged) return
		isKept = Boolean(next)
		await remember(TRIP, next)
		if (!next) await remember(WENT)
	}
	// depart notes that a tab leaves for the login.
	const depart = async () => {
		await recalled
		await setTrip({ time: Date.now() })
	}
	const setLost = (next) => {
		const before = lost
		lost = next
		return next || before ? remember(LOST, next) : undefined
	}

	// isWaiting tells whether nothing is asked. A clock that was set back does not make
	// the wait longer.
	const isWaiting = async () => {
		await recalled
		return lost !== undefined && Math.abs(Date.now() - lost.time) < lost.wait
	}

	// doubt ends the trust and the wait: the session may have changed.
	const doubt = async () => {
		doubts++
		if (session?.good) session = undefined
		await recalled
		if (lost?.wait) await setLost({ ...lost, wait: 0 })
	}

	// ensure resolves to whether the session is good, after a renewal if it takes one,
	// and to undefined if nobody can tell.
	const ensure = async () => {
		if (isTrusted()) return true
		// Then an answer is as good as without the script.
		if (isLately()) return undefined
		if (renewal) return renewal
		// A person who looks may have logged in where nobody here could see it, and a visit may
		// find that out now.
		if (await isWaiting()) return probe ?? (age() > FIRST_WAIT && (await isSeen()) ? look() : false)
		const good = isLately(false) ? false : await look()
		return good === false ? renew() : good
	}

	// isDue tells whether a known end is near enough to renew ahead.
	const isDue = () => {
		const span = Math.min(AHEAD, length / 4)
		return startPath && isTrusted() && session.left - age() < span && Math.abs(Date.now() - aheadAt) > span
	}

	// tend keeps the trust while requests are left to the browser.
	const tend = (event) => {
		if (age() > LOOK_PAUSE) event.waitUntil(look())
		if (isDue()) event.waitUntil(renewAhead())
	}

	// tendRelayed finds out when the end will be, unless that was found not to be known. What
	// is relayed needs no trust, and may be all that there is.
	const tendRelayed = async () => {
		const isKnown = isTrusted() || (session?.good && session.left === undefined)
		if (startPath && !lost && !isKnown && age() > LOOK_PAUSE) await look()
		if (isDue()) await renewAhead()
	}

	// send resolves to the answer to a request. If that is refused it renews the
	// session and sends the replay, and rejects where there is none or that does not
	// help, as the login's redirect does without the script.
	const send = async (request, replay, tries = 2) => {
		const path = pathOf(request)
		await recalled
		const isShut = !isTrusted() && lost?.paths.includes(path)
		const seen = renewals
		if (!isShut) {
			const answer = await exchange(request)
			if (answer) return answer
		}
		// A renewal that ended after the request had left serves it too.
		const good = seen !== renewals || (await ensure())
		if (good && replay) return send(replay, tries > 1 ? replay.clone() : undefined, tries - 1)
		if (good === false) {
			if (lost && !lost.paths.includes(path)) {
				await setLost({ ...lost, paths: [...lost.paths, path].slice(-MOST_PATHS) })
			}
			await logIn()
		}
		throw new TypeError('The session has ended.')
	}

	// isReplaced tells whether another's page stands in the place of a refusal: an errors
	// middleware before the plugin leaves nothing of that but the status. It does if the
	// session is refused, or was since the request left. Otherwise the app has said so.
	const isReplaced = async (answer, asked) => {
		if (answer.status !== 401 || answer.headers.has('WWW-Authenticate') || !isOfOrigin(answer)) return false
		if (refused > asked.clock) return true
		const path = pathOf(answer)
		if (vouched.has(path) || isLately()) return false
		if ((await look()) === false || refused > asked.clock) return true
		vouched.add(path)
		setTimeout(() => vouched.delete(path), LOOK_PAUSE)
		return false
	}

	// exchange resolves to the answer to a request, or to undefined if it is refused.
	const exchange = async (request) => {
		const asked = now()
		let answer
		try {
			answer = await fetch(request)
		} catch (error) {
			// The body of a refusal is not the one that the page expects.
			if (request.integrity && (await look()) === false) return undefined
			throw error
		}
		if (!isRefused(answer)) {
			if (!(await isReplaced(answer, asked))) return answer
		} else if (!(session?.asked.clock > asked.clock)) {
			// It tells of the session that there was when the request left.
			note({ asked, told: now(), good: false })
		}
		// What was redirected has been served, and is not to be done twice.
		if (answer.redirected && mayHaveBody(request)) throw new TypeError('The session has ended.')
		return undefined
	}

	// relay sends an edit with a copy at hand. The first one shows whether the session
	// is good; what comes meanwhile waits for the probe, and does not get a 401 each.
	const relay = async (request) => {
		const replay = request.clone()
		await recalled
		if (!isTrusted() && (lost || renewal || unproven > 0)) await ensure()
		unproven++
		try {
			const answer = await send(request, replay)
			tendRelayed()
			return answer
		} finally {
			unproven--
		}
	}

	// hold answers once the session is certain. What cannot be let go is sent once.
	const hold = async (request) => {
		const good = await ensure()
		const hasBody = mayHaveBody(request)
		const letsGo =
			request.redirect === 'follow' && (!hasBody || COME_THROUGH.test(request.headers.get('Content-Type') ?? ''))
		if (good !== false && letsGo) return Response.redirect(request.url, 307)
		return send(request, hasBody ? undefined : request.clone())
	}

	// fetchForApp is the fetch of the app's own worker.
	const fetchForApp = async (input, init) => {
		const request = new Request(input, init)
		if (isOurs(request)) {
			if (!mayHaveBody(request) || carriesEdit(request)) return relay(request)
			await ensure()
			return send(request)
		}
		const answer = await fetch(request)
		if (isOfOrigin(request) && isRefused(answer)) throw new TypeError('There is no session without cookies.')
		return answer
	}

	// addAgain is a method of the app's caches, tried once more after a renewal where
	// it fails for want of a session.
	const addAgain = (add) =>
		async function (...args) {
			try {
				return await add.apply(this, args)
			} catch (error) {
				const seen = renewals
				session = undefined
				if (!(await ensure()) || seen === renewals) throw error
				return add.apply(this, args)
			}
		}

	// lookForUpdate asks for the script now and then: a recovery script for the app's own,
	// which can be had once the session is good, and the plugin's own worker for its next
	// one, as no page of the app's registers it at each visit. Chromium may not ask by itself.
	const lookForUpdate = () => {
		if (registration.installing || registration.waiting || Math.abs(Date.now() - looked) < UPDATE_PAUSE) return
		looked = Date.now()
		registration.update().catch(ignore)
	}

	// lookOn has a recovery script look again by itself: its page may be idle from now on, and
	// what takes its place may fail to install. Where there is nothing to take it, that ends.
	const lookOn = () => {
		clearTimeout(again)
		if (looks < MOST_LOOKS) again = setTimeout(look, LOOK_PAUSE * 2 ** looks++)
	}

	// logIn sends the tab that the person looks at to the login and back. Tabs in
	// the background stay: their calls succeed once one tab is back.
	const logIn = async (isWanted) => {
		const tabs = await clients.matchAll()
		const shared = await clients.matchAll({ type: 'sharedworker' })
		// The tab that had the focus last comes first. A frame is shown that a login is needed.
		const seen = tabs.filter((client) => isVisible(client) && !isReserved(pathOf(client)))
		const tab = seen.find(({ frameType }) => frameType !== 'nested') ?? seen[0]
		await recalled
		await recallTrip()
		if (!tab || (!isWanted && isAway())) return
		await depart()
		// While a worker activates, the visit waits for it: it is not awaited.
		leave(tab, shared.length > 0)
	}

	// leave sends a tab to the login. Who cancels that by going back would get the
	// page as it was, but without its shared workers: Actual 26.9 then loses what
	// is typed. A message to the page keeps browsers from keeping it so.
	const leave = async (tab, sharesWorkers) => {
		// Firefox rejects where the page at the refresh path goes on at once.
		await tab.navigate(`${refreshPath}#${tab.url}`).catch(ignore)
		if (sharesWorkers) tab.postMessage({})
	}

	// embark notes that a visit is on its way, for other runs and other workers as well: an
	// update that is looked for beside it may bring a recovery script.
	const embark = (id) => {
		visits.add(id)
		return remember(TRIP, { time: Date.now() })
	}
	// disembark ends that, and resolves to whether it was still so.
	const disembark = async (id) => {
		if (!visits.delete(id)) return false
		if (visits.size === 0) await remember(TRIP, trip)
		return true
	}

	// becomeTab resolves to the tab of a visit once it shows the app. Engines differ in
	// when clients.get tells: at once, with nothing or half a client, or in the end. One that
	// has asked for something and is not there soon was left: a next version waits for this.
	const becomeTab = async (id) => {
		for (let left = ARRIVAL_LIMIT; left > 0; left -= visits.has(id) ? ARRIVAL_PAUSE : ARRIVAL_LIMIT / 4) {
			const tabs = await clients.matchAll()
			const tab = tabs.find((client) => client.id === id)
			if (tab) return tab
			await pause(ARRIVAL_PAUSE)
		}
	}

	// What the app's worker has left to the network.
	const unanswered = new WeakSet()

	// arrive looks after a visit that the app's worker answers. What the network answers
	// needs no session, or leads to the login by itself, whether or not it comes by way of
	// the app's worker. Then it never becomes a tab of the app's, and a renewal beside it
	// would end the login. The plugin's own worker asks nothing beside a visit, but goes by
	// what it knows: where the plugin is gone the probe would begin a login of its own.
	const arrive = async (event) => {
		notePreloads()
		await recalled
		if (own ? !lost && !trip : (await look()) !== false) return
		const { resultingClientId, request } = event
		await embark(resultingClientId)
		const tab = await becomeTab(resultingClientId)
		const isUnknown = await disembark(resultingClientId)
		if (tab ? isReserved(pathOf(tab)) : isUnknown) await depart()
		// Visits with the plugin's own worker are all answered by the network.
		if (own && tab) await look()
		if (!tab || unanswered.has(event)) return
		if (isVisible(tab)) await doubt()
		// A reload is a wish.
		const isWanted = request.cache === 'no-cache' || request.cache === 'reload'
		if ((isWanted && isAway()) || (await ensure()) === false) await logIn(isWanted)
	}

	const notePreloads = () =>
		registration.navigationPreload?.getState().then(({ enabled }) => {
			preloads = enabled
		}, ignore)

	// takePreloaded answers with what the browser asks for beside the worker, if the app
	// wants that. Left alone it would be asked for twice, which no login outlives. Beside a
	// worker that has to start Chromium asks in any case, and the worker's fetch gets that.
	// Who comes to the refresh path from where it would not tell the plugin.
	const takePreloaded = async ({ preloadResponse, request }) => {
		const response = await preloadResponse
		preloads = response !== undefined
		return (
			response ?? (isChromium && pathOf(request) !== refreshPath ? fetch(request) : Response.redirect(request.url, 307))
		)
	}

	// The first listener leaves to the network what the login needs, and sees visits
	// before the app's worker does.
	const first = (event) => {
		restore()
		looks = 0
		const { request } = event
		// What a tab asks for shows that it is there.
		if (visits.has(event.clientId)) event.waitUntil(disembark(event.clientId))
		if (!isOfOrigin(request)) return
		const { pathname: path, search, searchParams } = new URL(request.url)
		const isRefresh = path === refreshPath
		const isGet = request.method === 'GET'
		// What is asked for beforehand may never be shown.
		const isVisit = request.destination === 'document' && !request.headers.has('Sec-Purpose')
		if (isReserved(path)) {
			event.stopImmediatePropagation()
			if (!isRefresh || search !== '?status') event.waitUntil(doubt())
			// The page at the refresh path asks first and may stay, and anybody's link leads there.
			const leads = isRefresh && isGet && (search === '?login' || searchParams.has('rd'))
			if (isVisit && (leads || path === startPath)) event.waitUntil(depart())
			if (request.mode === 'navigate' && isGet && preloads !== false) {
				event.respondWith(takePreloaded(event))
			}
		} else if (isVisit) {
			visited = own
			isKept = true
			event.waitUntil(arrive(event))
		} else if (visited) {
			// Its page is there, so the visit did not lead to a login that this might disturb.
			visited = false
			if (lost) event.waitUntil(look())
			lookForUpdate()
		}
	}

	// The last listener gets what the app's worker leaves to the network.
	const last = (event) => {
		const { request } = event
		unanswered.add(event)
		if (!isOurs(request) || isBypass(request) || event.defaultPrevented || request.bodyUsed) return
		if (carriesEdit(request)) event.respondWith(relay(request))
		else if (isTrusted()) tend(event)
		else if (!isLately()) event.respondWith(hold(request))
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

	// status is what the page at the refresh path shows of this worker.
	const status = async () => {
		await recalled
		await recallTrip()
		return {
			version: VERSION,
			own,
			recovering,
			silent,
			renewed: await recall(RENEWED),
			why: lost?.why,
			trip,
			pause: trip ? Math.max(TRIP_PAUSE - Math.abs(Date.now() - trip.time), 0) : 0,
		}
	}

	// renewNow is what a person asks for on that page.
	const renewNow = async () => {
		let good = await look()
		if (good && startPath) await renewAhead()
		else if (good === false) good = await renew()
		return { ...(await status()), good }
	}

	// A worker that has the script says whether it is in charge, which one is not that is
	// there to be replaced, and how things stand. Any other says nothing.
	const QUESTION = 'REAUTH_IN_CHARGE'
	const answers = new Map([
		[QUESTION, () => !recovering && !own],
		['REAUTH_STATUS', status],
		['REAUTH_RENEW', renewNow],
	])
	const reply = (event) => {
		const answer = answers.get(event.data?.type)
		if (!answer) return
		event.stopImmediatePropagation()
		event.waitUntil(Promise.resolve(answer()).then((data) => event.ports[0]?.postMessage(data)))
	}
	const isInCharge = () =>
		new Promise((resolve) => {
			const { port1, port2 } = new MessageChannel()
			port1.onmessage = ({ data }) => resolve(data)
			registration.active?.postMessage({ type: QUESTION }, [port2])
			setTimeout(resolve, registration.active ? ANSWER_LIMIT : 0, false)
		}).catch(ignore)

	// install decides whether to take over. Where a refresh script is in charge
	// already, updates wait as the app wants them to.
	const install = async () => {
		if (!(await isInCharge())) {
			takeOver()
		} else if (recovering) {
			await ensure()
			throw new Error('The one in charge stays.')
		}
	}

	// takeOver asks again while it has to: Chromium may miss the moment at which
	// the worker in charge has nothing left to do.
	const takeOver = () => {
		skipWaiting()
		setTimeout(() => (registration.installing || registration.waiting) && takeOver(), TAKE_OVER_PAUSE)
	}

	// activate covers the tabs that were loaded without a worker, too. The app works
	// without a worker of its own until the session is good.
	const activate = async () => {
		await clients.claim()
		if (recovering) await logIn()
	}

	self.addEventListener('fetch', first)
	self.addEventListener('message', reply)
	self.addEventListener('install', (event) => event.waitUntil(install()))
	self.addEventListener('activate', (event) => event.waitUntil(activate()))
	keepLast()
	// Listeners may be added until the script has run, an onfetch among them.
	self.addEventListener = listen
	queueMicrotask(keepLast)
	notePreloads()
	WorkerGlobalScope.prototype.fetch = fetchForApp
	for (const name of ['add', 'addAll']) Cache.prototype[name] = addAgain(Cache.prototype[name])
}
