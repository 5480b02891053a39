// Tells mutated scripts which mutant is active: the tests run them in contexts of their
// own, which have no process to read it from.
import vm from 'node:vm'

const { runInNewContext } = vm
const __stryker__ = { activeMutant: process.env.__STRYKER_ACTIVE_MUTANT__ }

// Node.js itself gives no context.
vm.runInNewContext = (code, context = {}, ...rest) =>
	runInNewContext(code, Object.assign(context, { __stryker__ }), ...rest)
