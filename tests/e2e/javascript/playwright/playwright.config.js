module.exports = { projects: [{ name: 'small' }, { name: 'large', grep: /passes/ }] };
