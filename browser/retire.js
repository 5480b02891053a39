// The script that the plugin's own worker is replaced by once the option is off. It has
// no listener for requests, so that they are as without a worker at once, in the tabs that
// are open as well. It asks again while it has to: Chromium may miss the moment at which
// the worker in charge has nothing left to do.
;(() => {
	const takeOver = () => {
		self.skipWaiting()
		setTimeout(() => (self.registration.installing || self.registration.waiting) && takeOver(), 1000)
	}
	self.addEventListener('install', takeOver)
	self.addEventListener('activate', (event) => event.waitUntil(self.registration.unregister()))
})()
