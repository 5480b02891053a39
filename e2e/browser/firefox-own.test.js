import { own } from './own.js'

own('firefox')
