import { own } from './own.js'

own('chromium')
