-- Installing, verifying and removing models: what is refused. Installations that go well are in tests/cluster.
SELECT clip_install_model(NULL);
SELECT clip_install_model('');
SELECT clip_install_model('small');
SELECT clip_install_model('~/models/small');
SELECT clip_install_model('a/b/c/d');
SELECT clip_install_model('https://hub.example/owner/name');
SELECT clip_install_model('/no/such/folder');
SELECT clip_install_model('--version');
SELECT clip_install_model('owner/name', revision => '../main');
SELECT clip_install_model('owner/name', in_precision => 'half precision');
SELECT clip_install_model('owner/name', as_name => '../../name');
-- Port 1 of loopback: nobody listens there.
SET clip_search.hub_endpoint = 'http://127.0.0.1:1';
\set VERBOSITY default
SELECT clip_install_model('owner/name');
\set VERBOSITY terse
SET clip_search.hub_endpoint = 'ftp://127.0.0.1';
SELECT clip_install_model('owner/name');
SET clip_search.hub_endpoint = 'https://user:password@hub.example';
SELECT clip_install_model('owner/name');
RESET clip_search.hub_endpoint;
SET clip_search.hub_token_file = '/no/such/token';
SELECT clip_install_model('owner/name');
RESET clip_search.hub_token_file;

SELECT * FROM clip_verify_model(NULL);
SELECT * FROM clip_verify_model('../../name');
SELECT * FROM clip_verify_model('no/such');
-- What came with the extension was not installed: it is run, and compared with nothing.
SELECT ok, files, damaged, text_cosine, image_cosine, identical, error FROM clip_verify_model('clip-search/emoji');

SELECT * FROM clip_quantize_model(NULL);
SELECT * FROM clip_quantize_model('../../name');
-- Only what is in clip_search.model_dir.
SELECT * FROM clip_quantize_model('clip-search/emoji', force => true);

SELECT clip_remove_model(NULL);
SELECT clip_remove_model('../../name');
SELECT clip_remove_model('no/such') IS NULL;
-- Only what is in clip_search.model_dir.
SELECT clip_remove_model('clip-search/emoji');

-- For superusers only.
CREATE ROLE models_ordinary;
SET ROLE models_ordinary;
SELECT clip_install_model('owner/name');
SELECT * FROM clip_verify_model('clip-search/emoji');
SELECT * FROM clip_quantize_model('clip-search/emoji');
SELECT clip_remove_model('clip-search/emoji');
\set VERBOSITY sqlstate
SHOW clip_search.hub_token_file;
\set VERBOSITY default
SET clip_search.hub_endpoint = 'http://127.0.0.1:1';
RESET ROLE;
DROP ROLE models_ordinary;
