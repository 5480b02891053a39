// The script that the plugin's own worker is replaced by once the option is off. It has
// no listener for requests, so that they are as without a worker at once, in the tabs that
// are open as well.
self.addEventListener('install', () => self.skipWaiting())
self.addEventListener('activate', (event) => event.waitUntil(self.registration.unregister()))
