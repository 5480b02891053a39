import { standAside } from './aside.js'
import { meetEnds } from './ends.js'

standAside('chromium')
meetEnds('chromium')
