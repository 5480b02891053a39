// The script of the page at the refresh path: it finds the page that the tab
// came from, and goes through the login back to it. The server checks the path.
;(() => {
	const isOurs = (url) => url?.startsWith(`${location.origin}/`)
	// What the worker says, that is where the tab was when it was loaded.
	const loaded = location.hash.slice(1)
	const entry = window.navigation?.entries()[navigation.currentEntry.index - 1]
	// WebKitGTK 2.50 has no Navigation API. The referrer tells where the tab
	// was, all but the fragment, unless the app keeps it to itself. Of a tab that
	// the worker sent Chromium then says that it came from the worker's script.
	const hasNotMoved = loaded.split('#')[0] === document.referrer
	const from =
		[entry ? entry.url : hasNotMoved ? loaded : document.referrer, loaded].find(isOurs) ?? `${location.origin}/`
	const { pathname, search, hash } = new URL(from)
	location.replace(`?rd=${encodeURIComponent(pathname + search + hash)}`)
})()
