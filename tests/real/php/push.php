<?php
// Pushes what standard input says through PHP's SoapClient, and prints what came of each push.
$job = json_decode(stream_get_contents(STDIN), true);
$options = [
    'soap_version' => $job['version'] === '1.2' ? SOAP_1_2 : SOAP_1_1,
    'cache_wsdl' => WSDL_CACHE_NONE,
    'features' => SOAP_SINGLE_ELEMENT_ARRAYS,
    'trace' => true,
];
if (isset($job['key'])) {
    $options['stream_context'] = stream_context_create(['http' => ['header' => "Authorization: Bearer {$job['key']}"]]);
}
$client = new SoapClient($job['wsdl'], $options);
if (isset($job['user'])) {
    $wsse = 'http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd';
    $token = '<w:Security xmlns:w="' . $wsse . '"><w:UsernameToken><w:Username>' . $job['user'] . '</w:Username><w:Password>'
        . $job['password'] . '</w:Password></w:UsernameToken></w:Security>';
    $client->__setSoapHeaders(new SoapHeader($wsse, 'Security', new SoapVar($token, XSD_ANYXML), true));
}
$outcomes = [];
foreach ($job['requests'] as $request) {
    try {
        $outcomes[] = ['answer' => $client->__soapCall($job['operation'], [$request])];
    } catch (SoapFault $fault) {
        $outcomes[] = ['fault' => $client->__getLastResponse() ?: $fault->getMessage()];
    }
}
echo json_encode($outcomes);
