import { hold } from './behind.js'

hold('chromium')
