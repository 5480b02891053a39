import { hold } from './behind.js'

hold('firefox')
